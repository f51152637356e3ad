import threading
import time

import pytest

from chainfpn.cli.overlap import in_order


def test_results_come_in_order_from_several_threads():
    meeting = threading.Barrier(3)

    def work(i):
        if i < 3:
            meeting.wait(timeout=20)  # of three at a time
        return i, threading.current_thread()

    numbers, threads = zip(*in_order(work, range(20), 3), strict=True)
    assert numbers == tuple(range(20))
    assert len(set(threads)) == 3
    assert threading.current_thread() not in threads


def test_items_are_not_far_ahead_of_results():
    read = []
    results = in_order(str, (read.append(i) or i for i in range(200)), 3)
    assert [next(results) for _ in range(5)] == list("01234")
    results.close()
    assert len(read) <= 5 + 16 * 3


def test_one_that_takes_long_does_not_keep_the_others():
    others = threading.Semaphore(0)

    def work(i):
        if i == 0:
            for _ in range(16 * 2 - 1):
                assert others.acquire(timeout=20)  # of as many as may be behind it
        others.release()
        return i

    assert list(in_order(work, range(100), 2)) == list(range(100))


def test_few_items_wait_for_a_thread():
    read, end = [], threading.Event()
    results = in_order(lambda i: end.wait(timeout=20), (read.append(i) or i for i in range(100)), 2)
    reader = threading.Thread(target=lambda: next(results))
    reader.start()
    while len(read) < 5:
        time.sleep(0.001)
    time.sleep(0.01)
    assert len(read) == 2 * 2 + 1  # the last one is in the hand of the reader
    end.set()
    reader.join()
    results.close()


def test_an_error_comes_in_its_place_and_nothing_begins_after_it():
    begun = []

    def work(i):
        begun.append(i)
        if i == 2:
            raise OSError("full")
        return i

    results = in_order(work, range(20), 1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="full"):
        next(results)
    n = len(begun)
    assert n < 20
    time.sleep(0.01)
    assert len(begun) == n


def test_an_error_of_the_items_is_raised():
    def items():
        yield 1
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        list(in_order(str, items(), 3))


def test_work_at_hand_is_finished_where_the_block_fails():
    done = []

    def run():
        for result in in_order(done.append, range(100), 2):
            assert result is None
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    n = len(done)
    assert 0 < n < 100
    time.sleep(0.01)
    assert len(done) == n
