"""Torchvision's detection stack as Chainer links, fed by PyTorch checkpoints.

Importing this package first makes Chainer 7.8.1 and ChainerCV 0.13.1 importable on today's Python and
NumPy: see :mod:`chainfpn.compat`.
"""

from chainfpn import compat

compat.enable()

from chainfpn.serialization import WeightsError, load_weights, read_weights, save_weights, set_weights  # noqa: E402

__version__ = "0.1.0"
__all__ = ["WeightsError", "load_weights", "read_weights", "save_weights", "set_weights"]
