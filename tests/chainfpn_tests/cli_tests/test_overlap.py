import threading

import pytest

from chainfpn.cli.overlap import Behind, ahead


def test_items_come_in_order_from_another_thread():
    def items():
        for i in range(20):
            yield i, threading.current_thread()

    numbers, threads = zip(*ahead(items(), 3), strict=True)
    assert numbers == tuple(range(20))
    assert len(set(threads)) == 1
    assert threading.current_thread() not in threads


def test_no_more_is_read_than_may_wait():
    read = []
    items = ahead((read.append(i) or i for i in range(100)), 3)
    assert [next(items) for _ in range(5)] == list(range(5))
    items.close()
    assert len(read) <= 5 + 3 + 1


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("a bug")

    found = ahead(items(), 3)
    assert next(found) == 1
    with pytest.raises(ValueError, match="a bug"):
        next(found)


def test_jobs_are_done_in_order_before_the_end():
    done = []
    with Behind(2) as behind:
        for i in range(20):
            behind.submit(done.append, i)
    assert done == list(range(20))


def test_after_a_failure_nothing_is_done():
    done = []

    def job(i):
        if i == 2:
            raise OSError("full")
        done.append(i)

    def run():
        with Behind(1) as behind:
            for i in range(20):
                behind.submit(job, i)

    with pytest.raises(OSError, match="full"):
        run()
    assert done == [0, 1]


def test_jobs_are_done_even_where_the_block_fails():
    done = []

    def run():
        with Behind(5) as behind:
            for i in range(3):
                behind.submit(done.append, i)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == [0, 1, 2]
