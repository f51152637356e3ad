"""PyTorch checkpoints to Chainer and back, without PyTorch and without executing anything that a file says.

What is listed here, and `weights_convert.zoo`, is all that other packages use. Nothing but NumPy is needed.
"""

from chainfpn import __version__
from weights_convert.api import convert, convert_arrays, inspect, needs_conversion, read_checkpoint
from weights_convert.destinations import is_conversion_of
from weights_convert.errors import CheckpointError, ConversionError, few
from weights_convert.files import atomic_write, sha256
from weights_convert.meta import parse_key_values, rename_former_arguments
from weights_convert.report import Report
from weights_convert.write import write_npz

__all__ = [
    "CheckpointError",
    "ConversionError",
    "Report",
    "__version__",
    "atomic_write",
    "convert",
    "convert_arrays",
    "few",
    "inspect",
    "is_conversion_of",
    "needs_conversion",
    "parse_key_values",
    "read_checkpoint",
    "rename_former_arguments",
    "sha256",
    "write_npz",
]
