"""Where OpenBLAS is told which processor it is on."""

import subprocess
import sys

import pytest

from chainfpn.compat import openblas

ZEN_5 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model name\t: AMD EPYC 9005
flags\t\t: fpu avx avx2 fma avx512f avx512dq avx512cd avx512bw avx512vl
bugs\t\t: none
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", True),
        ("AuthenticAMD", "GenuineIntel", False),
        ("family\t: 26", "family\t: 25", False),  # Zen 4, which OpenBLAS knows
        ("avx512vl", "", False),
        (ZEN_5, "Processor : ARMv8", False),
    ],
)
def test_only_new_amd_processors_with_avx_512_are_unknown(old, new, expected):
    assert openblas.unknown_to_openblas(ZEN_5.replace(old, new)) is expected


@pytest.mark.parametrize("loaded", [True, False])
def test_it_is_too_late_once_numpy_is_imported(monkeypatch, tmp_path, loaded):
    monkeypatch.setattr(openblas, "CPUINFO", tmp_path / "cpuinfo")
    (row,) = openblas.OPENBLAS
    monkeypatch.setitem(sys.modules, "numpy", sys)
    if not loaded:
        del sys.modules["numpy"]
    assert not row.applies()  # not Linux: there is no such file
    openblas.CPUINFO.write_text(ZEN_5)
    assert row.applies() is not loaded


def test_importing_chainfpn_is_early_enough(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    unknown = openblas.CPUINFO.exists() and openblas.unknown_to_openblas(openblas.CPUINFO.read_text())
    code = "import os, chainfpn; print(os.environ.get('OPENBLAS_CORETYPE'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("SkylakeX" if unknown else "None")
