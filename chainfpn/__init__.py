"""Torchvision's detection stack as Chainer links, fed by PyTorch checkpoints.

Importing this package first makes Chainer 7.8.1 and ChainerCV 0.13.1 importable on today's Python and NumPy, see
:mod:`chainfpn.compat`; it imports neither by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainfpn import compat

compat.enable()

if TYPE_CHECKING:
    from chainfpn.export import export_onnx
    from chainfpn.serialization import WeightsError, load_weights, read_weights, save_weights, set_weights

__version__ = "0.1.0"
__all__ = ["WeightsError", "export_onnx", "load_weights", "read_weights", "save_weights", "set_weights"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: a name of :mod:`chainfpn.serialization`, the exporter, or a subpackage."""
    if name in __all__:
        module = "chainfpn.export" if name == "export_onnx" else "chainfpn.serialization"
        return getattr(import_module(module), name)
    if name in ("boxes", "data", "datasets", "export", "functions", "links", "models", "training"):
        return import_module(f"chainfpn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
