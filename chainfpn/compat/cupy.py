"""What Chainer says about CuPy releases newer than itself."""

import importlib.util
import pathlib

from chainfpn.compat.rows import Setting


def _always():
    return True


def _cupy_without_cudnn():
    """Whether CuPy is installed and has no cuDNN bindings (CuPy itself is not imported)."""
    spec = importlib.util.find_spec("cupy")
    if spec is None or spec.submodule_search_locations is None:
        return False
    return not any(any(pathlib.Path(folder).glob("cudnn.*")) for folder in spec.submodule_search_locations)


CUPY = (
    Setting(
        "CHAINER_WARN_VERSION_MISMATCH",
        since="CuPy 8",
        needed_by="chainer: _environment_check",
        stand_in="0 unless set: no warning about CuPy's version",
        value="0",
        applies=_always,
    ),
    Setting(
        "CHAINER_CUDNN",
        since="CuPy 14",
        needed_by="chainer: backends/cuda",
        stand_in="0 unless set, where CuPy has no cuDNN: no advice to install it",
        value="0",
        applies=_cupy_without_cudnn,
    ),
)
