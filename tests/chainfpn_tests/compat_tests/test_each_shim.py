"""Each shim is needed: what it is for works with it and fails without it."""

import ctypes
import json
import pathlib
import re
import subprocess
import sys
import warnings

import pytest

from chainfpn.compat import TABLE, Library, Patch, WarningFilter
from reference.required import skip_or_fail

LIBRARIES = [shim for shim in TABLE if isinstance(shim, Library)]
FILTERS = [shim for shim in TABLE if isinstance(shim, WarningFilter) and shim.name != "Overriding method"]
PROBED = [shim for shim in TABLE if shim not in LIBRARIES + FILTERS]

#: What the filters are for: a message, and where it comes from.
WARNED = {
    r".mapping\.\w+. is now deprecated": ("`mapping.NP_TYPE_TO_TENSOR_TYPE` is now deprecated", "onnx_chainer.context"),
    r"unclosed file <_io\.TextIOWrapper name=.*null": (
        "unclosed file <_io.TextIOWrapper name='/dev/null'>",
        "contextlib",
    ),
    r"__array__ implementation doesn't accept a copy keyword": (
        "__array__ implementation doesn't accept a copy keyword, so passing copy=False failed",
        "pycocotools.mask",
    ),
    r"\*c\* argument looks like a single numeric RGB": (
        "*c* argument looks like a single numeric RGB or RGBA sequence",
        "chainercv.visualizations.vis_point",
    ),
    r"setDaemon\(\) is deprecated": ("setDaemon() is deprecated", "chainer.iterators.multiprocess_iterator"),
    "cupy.cudnn is deprecated": ("cupy.cudnn is deprecated", "cupy.cudnn"),
    r"\s*nccl library could not be loaded": ("\n  nccl library could not be loaded.", "cupy._environment"),
    ".*invalid escape sequence": (r'"\_" is an invalid escape sequence', "/site-packages/chainercv/links/x"),
    '"is" with': ("\"is\" with 'str' literal", "/site-packages/chainer/functions/x"),
}


@pytest.fixture(scope="module")
def errors():
    """Give what probes.py has found."""
    pytest.importorskip("h5py")
    pytest.importorskip("onnx")
    pytest.importorskip("scipy")
    probes = pathlib.Path(__file__).parent / "probes.py"
    done = subprocess.run([sys.executable, probes], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("shim", PROBED, ids=lambda shim: shim.name)
def test_a_chainer_without_the_shim_fails(errors, shim):
    if errors["with"][shim.name] == "ModuleNotFoundError: No module named 'mpi4py'":
        skip_or_fail("CHAINFPN_REQUIRE_MPI", "no mpi4py here (the extra mpi brings it)")
    assert errors["with"][shim.name] is None
    if isinstance(shim, Patch) and shim.applies is None and not shim.is_needed():
        pytest.skip(f"what is installed is older than {shim.since}")
    assert errors["without"][shim.name] is not None


@pytest.mark.parametrize("shim", LIBRARIES, ids=lambda shim: shim.name)
def test_a_library_is_found_by_its_name_only_after_the_shim(shim, tmp_path, monkeypatch):
    loaded = set()

    def load(name):
        if pathlib.Path(name).name not in loaded and not pathlib.Path(name).is_absolute():
            raise OSError(f"{name}: cannot open shared object file")
        loaded.add(pathlib.Path(name).name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.syspath_prepend(tmp_path)
    for file in ("cupy/__init__.py", f"nvidia/part/lib/{shim.name}"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    for module in ("cupy", "nvidia"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(OSError, match=re.escape(shim.name)):
        ctypes.CDLL(shim.name)
    shim.enable()
    ctypes.CDLL(shim.name)


@pytest.mark.parametrize("shim", FILTERS, ids=lambda shim: shim.name)
def test_a_warning_is_shown_without_its_filter(shim):
    message, module = WARNED[shim.name]

    def warn():
        warnings.warn_explicit(message, shim.category, f"{module}.py", 1, module=module)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in FILTERS:
            if other is not shim:
                other.enable()
        with pytest.raises(shim.category):
            warn()
        shim.enable()
        warn()
