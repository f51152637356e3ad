"""Torchvision's detection stack as Chainer links, fed by PyTorch checkpoints.

Importing this package first makes Chainer 7.8.1 and ChainerCV 0.13.1 importable on today's Python and
NumPy: see :mod:`chainfpn.compat`.
"""

from chainfpn import compat

compat.enable()

__version__ = "0.1.0"
