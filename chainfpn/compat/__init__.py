"""Make Chainer 7.8.1 and ChainerCV 0.13.1 import and run on today's Python, NumPy and CuPy.

Both are frozen and lean on modules and names that have gone since. Each such name is one row of a
table, one table per broken dependency; a row that is really missing gets its stand-in, and what is
there is never replaced.
"""

import sys

from chainfpn.compat.chainercv import CHAINERCV
from chainfpn.compat.cupy import CUPY
from chainfpn.compat.numpy import NUMPY
from chainfpn.compat.onnx import ONNX
from chainfpn.compat.packaging import PACKAGING
from chainfpn.compat.rows import Attribute, Library, Module, Noise, Setting

__all__ = ["TABLE", "Attribute", "Library", "Module", "Noise", "Setting", "enable"]

#: Every row, in the order in which ``enable`` looks at them.
TABLE = (*NUMPY, *PACKAGING, *CUPY, *ONNX, *CHAINERCV)


def enable():
    """Register a stand-in for everything in ``TABLE`` that is missing, silently.

    A second call changes nothing.

    Raises:
        ImportError: if Chainer or ChainerCV was imported before, and failed half-way.
    """
    for package in ("chainer", "chainercv"):
        if package not in sys.modules and any(name.startswith(f"{package}.") for name in sys.modules):
            raise ImportError(
                f"chainfpn: an earlier import of {package} failed and left it half-loaded; "
                f"start a fresh interpreter and import chainfpn before {package}"
            )
    for row in TABLE:
        row.enable()
