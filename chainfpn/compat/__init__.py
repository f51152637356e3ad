"""Make Chainer 7.8.1 and ChainerCV 0.13.1 import and run on today's Python, NumPy and CuPy.

Both are frozen and lean on modules and names that have gone since, or that do something else now. Each such thing
is one shim in a table, one table per dependency that changed. What is really missing gets its stand-in, and what is
really broken is patched; what works is never touched.

``python -m chainfpn.compat script.py`` runs a script that knows nothing of chainfpn; see docs/install.md.
"""

import sys

from chainfpn.compat import finders
from chainfpn.compat.chainer import CHAINER
from chainfpn.compat.chainercv import CHAINERCV
from chainfpn.compat.cupy import CUPY
from chainfpn.compat.numpy import NUMPY
from chainfpn.compat.onnx import ONNX
from chainfpn.compat.packaging import PACKAGING
from chainfpn.compat.protobuf import PROTOBUF
from chainfpn.compat.shims import Attribute, Library, Module, Patch, Setting, Shim, WarningFilter

__all__ = ["TABLE", "Attribute", "Library", "Module", "Patch", "Setting", "Shim", "WarningFilter", "enable"]

#: Every shim, in the order in which they take effect.
TABLE: tuple[Shim, ...] = (*NUMPY, *PACKAGING, *CUPY, *ONNX, *PROTOBUF, *CHAINER, *CHAINERCV)

#: The packages whose first import makes the shims take effect.
_TRIGGERS = ("chainer", "chainercv", "chainermn", "onnx_chainer", "cupy")


def enable() -> None:
    """Have every shim of ``TABLE`` take effect, silently, as soon as Chainer, ChainerCV or CuPy is imported.

    A second call changes nothing.

    Raises:
        ImportError: if Chainer or ChainerCV was imported before, and failed half-way.
    """
    for package in finders.REQUIRED:
        if package not in sys.modules and any(name.startswith(f"{package}.") for name in sys.modules):
            raise ImportError(
                f"chainfpn: an earlier import of {package} failed and left it half-loaded; "
                f"start a fresh interpreter and import chainfpn before {package}"
            )
    if finders.ON_IMPORT in sys.meta_path:
        return
    sys.meta_path.insert(0, finders.ON_IMPORT)
    sys.meta_path.append(finders.STAND_INS)
    finders.ON_IMPORT.triggers.update(dict.fromkeys(_TRIGGERS, _take_effect))
    if any(name in sys.modules for name in _TRIGGERS):
        _take_effect()


def _take_effect() -> None:
    finders.ON_IMPORT.triggers.clear()
    for shim in TABLE:
        shim.enable()
