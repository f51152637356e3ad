"""Torchvision's detection stack as Chainer links, fed by PyTorch checkpoints.

Importing this package first makes Chainer 7.8.1 and ChainerCV 0.13.1 importable on today's Python and
NumPy: see :mod:`chainfpn.compat`. Chainer itself is imported with the first name that needs it.
"""

from typing import TYPE_CHECKING, Any

from chainfpn import compat

if TYPE_CHECKING:
    from chainfpn.serialization import WeightsError, load_weights, read_weights, save_weights, set_weights

compat.enable()

__version__ = "0.1.0"
__all__ = ["WeightsError", "load_weights", "read_weights", "save_weights", "set_weights"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from chainfpn import serialization

    return getattr(serialization, name)
