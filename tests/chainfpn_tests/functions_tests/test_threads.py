"""Our threads: blocks shared out, sums in a fixed order, products that keep to the thread they are on."""

import functools
import itertools
import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import threadpoolctl

from chainfpn.functions.kernels import threads


def n_blas_threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_an_error_in_a_worker_reaches_the_caller():
    def fail(task):
        raise ValueError(f"task {task}")

    with pytest.raises(ValueError, match="task"):
        threads.run(fail, [(k,) for k in range(8)])


def test_sums_are_added_in_order_whoever_is_first(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 4)
    values = np.float32([1e8, 1, -1e8, 3, 1e8, 7, -1e8])
    busy = iter([0.02, 0, 0.01, 0, 0.02, 0, 0])

    def kernel(own, k):
        own[0] = values[k]
        time.sleep(next(busy))
        return own

    total = threads.add_up(kernel, [(k,) for k in range(len(values))], lambda: np.empty(1, np.float32))
    assert total == functools.reduce(np.add, values)


def test_an_error_in_a_sum_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 3)

    def kernel(own, k):
        if k == 2:
            raise ValueError("two")
        return own

    with pytest.raises(ValueError, match="two"):
        threads.add_up(kernel, [(k,) for k in range(9)], lambda: np.zeros(1))


@pytest.fixture
def heeded():
    """Heed SIGINT, which is ignored by what a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
def test_an_interrupt_while_one_waits_for_another_ends_a_sum(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 3)
    taken, helpers = [threading.Event() for _ in range(3)], itertools.count()

    def take_turns():  # the first task is a helper's, the second the main thread's, the third another helper's
        if threading.current_thread() is threading.main_thread():
            taken[0].wait(60)
        elif next(helpers):
            taken[1].wait(60)

    def kernel(own, k):
        taken[k].set()
        if k == 0:
            taken[2].wait(60)
            time.sleep(0.1)  # both others wait now for this part of the sum
            signal.raise_signal(signal.SIGINT)
        return np.ones(1)

    with pytest.raises(KeyboardInterrupt):
        threads.add_up(kernel, [(k,) for k in range(3)], take_turns)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_threads_wait_for_more_work_and_are_others_after_a_fork(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 3)
    monkeypatch.setattr(
        threads, "_helpers", functools.cache(threads._Helpers)
    )  # not those of other tests, which are more

    def idents():
        together = threading.Barrier(3, timeout=60)
        found = set()

        def kernel(k):
            together.wait()
            found.add(threading.get_ident())

        threads.run(kernel, [(k,) for k in range(3)])
        return found

    first = idents()
    assert len(first) == 3
    assert idents() == first
    child = os.fork()
    if child == 0:
        os._exit(len(idents()) != 3)
    assert os.waitpid(child, 0)[1] == 0
    assert len(idents()) == 3


def test_tasks_that_share_out_their_own_work(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 3)
    sums = np.zeros((6, 5), int)

    def kernel(i):
        threads.run(lambda j: sums.__setitem__((i, j), i + j), [(j,) for j in range(5)])

    threads.run(kernel, [(i,) for i in range(6)])
    np.testing.assert_array_equal(sums, np.add.outer(np.arange(6), np.arange(5)))


def test_products_have_their_threads_back_afterwards():
    inside = []

    def kernel(k):
        inside.append(n_blas_threads())
        raise ValueError(k)

    with threadpoolctl.threadpool_limits(2, user_api="blas"):  # the environment may have said one
        before = n_blas_threads()
        with pytest.raises(ValueError, match="0"):
            threads.run(kernel, [(0,)])
        assert n_blas_threads() == before
    assert 2 in before
    assert inside == [[1] * len(before)]


def test_products_have_their_threads_back_after_an_interrupt_at_any_call():
    class Library:
        n, n_calls, last = 2, 0, None

        def call(self):
            self.n_calls += 1
            if self.n_calls == self.last:
                raise KeyboardInterrupt

        @property
        def num_threads(self):
            self.call()
            return self.n

        def set_num_threads(self, n):
            self.call()
            self.n = n

    for last in range(1, 7):
        blas, libraries = threads._Blas(), [Library(), Library()]
        blas.controller = SimpleNamespace(lib_controllers=libraries)
        libraries[last % 2].last = (last + 1) // 2
        with pytest.raises(KeyboardInterrupt), blas.on_one_thread():
            pass
        with blas.on_one_thread():
            assert [library.n for library in libraries] == [1, 1]
        assert [library.n for library in libraries] == [2, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_others_multiply_has_all_threads():
    before = n_blas_threads()
    answers = []

    def kernel():
        child = os.fork()
        if child == 0:
            os._exit(n_blas_threads() != before)
        answers.append(os.waitpid(child, 0)[1])

    threads.run(kernel, [()])
    assert answers == [0]


@pytest.mark.parametrize(
    ("n", "n_blocks", "n_ranges"), [(7, 0, 1), (7, 0.2, 1), (7, 0.3, 2), (50, 2.5, 4), (50, 9, 12), (3, 99, 3)]
)
def test_ranges_are_equal_and_depend_on_the_work_alone(n, n_blocks, n_ranges):
    ranges = threads.cut(n, n_blocks)
    assert len(ranges) == n_ranges
    assert [k for begin, end in ranges for k in range(begin, end)] == list(range(n))
    sizes = [end - begin for begin, end in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_callers_at_a_time_share_the_threads(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 5)
    before = n_blas_threads()
    with threads.shared_by(2):
        assert threads.N_THREADS == 2
        assert all(n <= 2 for n in n_blas_threads())
    with threads.shared_by(8):
        assert threads.N_THREADS == 1
        assert set(n_blas_threads()) == {1}
        threads.run(lambda k: None, [(k,) for k in range(3)])
        assert set(n_blas_threads()) == {1}
    assert threads.N_THREADS == 5
    assert n_blas_threads() == before


def test_at_most_so_many_threads_where_it_is_said(monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 3)
    meet, names = threading.Barrier(2), set()

    def work(k):
        names.add(threading.get_ident())

    with threads.at_most(1):
        threads.run(work, [(k,) for k in range(50)])
    assert names == {threading.get_ident()}
    threads.run(lambda k: meet.wait(timeout=60), [(0,), (1,)])
