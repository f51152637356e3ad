"""What is freed stays with the process, unless its environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource

import numpy as np

from chainfpn.functions.kernels import import_compiled


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


import_compiled("numba_update")
for _ in range(3):  # the heap has grown after the first
    before = faults()
    for n_bytes in (3 << 20, 50 << 20, 200 << 20):
        np.full(n_bytes, 1, np.uint8)
print(faults() - before)
"""


def count_faults(**environment):
    """Write arrays of 253 MB and free them, again and again: faults of the last time."""
    unset = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_")
    env = {name: value for name, value in os.environ.items() if name not in unset} | environment
    done = subprocess.run([sys.executable, "-c", FAULTS], env=env, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_what_was_freed_is_written_again_without_a_fault():
    assert count_faults() < 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_what_the_environment_chose_stays():
    assert count_faults(MALLOC_TRIM_THRESHOLD_="131072") > 60  # pages have at most 4 MB
