"""A machine that has other things to do."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

#: Processes that count and do nothing else.
N_BUSY = 4


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep processes busy inside."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(N_BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
