"""What a machine can do, which is the limit of everything that runs on it."""

import argparse
import datetime
import itertools
import os
import pathlib
import platform
import sys
import threading
import time
from collections.abc import Callable

import chainfpn  # noqa: F401  # isort: skip
import numpy as np
from chainer.backends import cuda

from chainfpn.functions.kernels import algorithm

#: Times functions in the interpreter that has torch, as ``Machine`` does here.
TORCHS_CLOCK = """
import time

device = str(inputs["device"])


def wall_time(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def device_time(run):
    torch.cuda.synchronize()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def best(run, repeat):
    run()
    return min((wall_time if device == "cpu" else device_time)(run) for _ in range(repeat))
"""


class Machine:
    """Times functions on a device, and measures what the device can do.

    Args:
        device (str): ``'cpu'`` or ``'cuda'``.
        n_threads (int or None): Threads of a CPU; by default one for each core that this process may run on.

    Attributes:
        date (str): The day it is made.
    """

    def __init__(self, device: str = "cpu", n_threads: int | None = None) -> None:
        self.device = device
        self.on_gpu = device == "cuda"
        self.xp = cuda.cupy if self.on_gpu else np
        self.n_threads = n_threads or len(os.sched_getaffinity(0))
        self.repeat = 20 if self.on_gpu else 9
        self.date = datetime.date.today().isoformat()
        self._load = os.getloadavg()[0]

    @property
    def chainers_device(self) -> str:
        """str: Chainer's name of the device."""
        return "@cupy:0" if self.on_gpu else "@numpy"

    def device_memory(self) -> float:
        """Return the memory in MB that this process has taken of a GPU; 0 on a CPU."""
        return self.xp.get_default_memory_pool().total_bytes() / 2**20 if self.on_gpu else 0.0

    def wait(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            self.xp.cuda.Device().synchronize()

    def best(self, run: Callable[[], object], repeat: int | None = None) -> float:
        """Return the least seconds of several runs, after one to warm up; a GPU's own, between two events."""
        run()
        return min((self._device_time if self.on_gpu else self._wall_time)(run) for _ in range(repeat or self.repeat))

    def _wall_time(self, run):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def _device_time(self, run):
        self.wait()
        begin, end = (self.xp.cuda.Event() for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return self.xp.cuda.get_elapsed_time(begin, end) / 1000

    def copy_bandwidth(self) -> float:
        """Return bytes per second, read and written, of a copy by all threads (or the GPU)."""
        source = self.xp.ones(2**26, np.float32)
        target = self.xp.empty_like(source)
        bounds = np.linspace(0, source.size, 2 if self.on_gpu else self.n_threads + 1).astype(int).tolist()
        parts = [slice(*pair) for pair in itertools.pairwise(bounds)]

        def copy() -> None:
            threads = [threading.Thread(target=np.copyto, args=(target[p], source[p])) for p in parts[1:]]
            for thread in threads:
                thread.start()
            self.xp.copyto(target[parts[0]], source[parts[0]])
            for thread in threads:
                thread.join()

        return 2 * source.nbytes / self.best(copy)

    def operations(self, dtype: str = "float32") -> float:
        """Return multiplications and additions per second of a large matrix product."""
        n = 8192 if self.on_gpu else 2048
        a = self.xp.asarray(np.random.default_rng(0).random((n, n), dtype=np.float32).astype(dtype))
        return 2 * n**3 / self.best(lambda: a @ a)

    def name(self) -> str:
        """Name the device, and the versions that were measured."""
        if self.on_gpu:
            properties = self.xp.cuda.runtime.getDeviceProperties(0)
            return f"{properties['name'].decode()}, CuPy {self.xp.__version__}"
        import numba

        threads = "1 thread" if self.n_threads == 1 else f"{self.n_threads} threads"
        kernels = os.environ.get("OPENBLAS_CORETYPE")
        versions = f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"
        return f"{algorithm.processor()}, {threads}, {versions}{f', OPENBLAS_CORETYPE={kernels}' if kernels else ''}"

    def signature(self, *facts: str) -> str:
        """Return the last line of every table: the machine, the day, its load before the run, and what else holds."""
        load = f"load average before the run {self._load:.1f}"
        return f"{'; '.join([self.name(), self.date, load, *facts])}."


def tell(figure: str) -> None:
    """Print a figure as soon as it is known, beside the tables: a run that is cut short keeps it."""
    print(figure, file=sys.stderr, flush=True)


def memory(what: str = "VmRSS") -> float:
    """Return the memory of this process in MB: now, or ``"VmHWM"``, the most it had; a parent's does not count."""
    (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def add_device(parser: argparse.ArgumentParser, text: str, *, default: str = "cpu") -> None:
    """Give a program the option ``--device``; it ends where ``cuda`` is asked for and Chainer sees none."""

    def read(value: str) -> str:
        if value == "cuda" and not cuda.available:
            parser.error("--device cuda: Chainer sees no CUDA device")
        return value

    parser.add_argument("--device", type=read, choices=["cpu", "cuda"], default=default, help=text)


def refuse_gpus(parser: argparse.ArgumentParser, reason: str) -> None:
    """Give a program that never runs on a GPU the option ``--device``, which says why."""

    def read(value: str) -> str:
        if value != "cpu":
            raise argparse.ArgumentTypeError(reason)
        return value

    parser.add_argument("--device", type=read, default="cpu", metavar="cpu", help=reason)


def run_with_environment(**variables: str) -> None:
    """Start this program anew if a variable has another value: some are only read when a library is imported."""
    if any(os.environ.get(name) != value for name, value in variables.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **variables})
