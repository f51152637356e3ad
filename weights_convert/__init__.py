"""PyTorch checkpoints to Chainer and back, without PyTorch and without executing anything that a file says."""

from weights_convert.api import convert, convert_arrays, inspect, read_checkpoint
from weights_convert.errors import CheckpointError, ConversionError
from weights_convert.report import Report
from weights_convert.version import __version__

__all__ = [
    "CheckpointError",
    "ConversionError",
    "Report",
    "__version__",
    "convert",
    "convert_arrays",
    "inspect",
    "read_checkpoint",
]
