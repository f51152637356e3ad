"""What computes: CUDA text (.cu), its compiled CPU twins (Numba) and the NumPy fallback."""

import numpy as np


def kernels_for(x):
    """Return the module that computes where an array lives: ``kernels.cpu`` or ``kernels.cuda``.

    Args:
        x (array): NumPy or CuPy.

    Returns:
        module: Both have the same functions.
    """
    if isinstance(x, np.ndarray):
        from chainfpn.functions.kernels import cpu

        return cpu
    from chainfpn.functions.kernels import cuda

    return cuda


def compute_dtype(dtype):
    """Return the dtype sums and coordinates are computed in: float32, or float64 for float64."""
    return np.promote_types(dtype, np.float32)


def round_down(value, dtype):
    """Return the largest number of a dtype that is not above a Python float.

    For ``v`` of that dtype, ``v > value`` is the same as ``v > round_down(value)``: torchvision compares its float32
    IoU with a double.

    Args:
        value (float): Any number.
        dtype (dtype): A float dtype.

    Returns:
        scalar: Of that dtype.
    """
    rounded = dtype.type(value)
    return np.nextafter(rounded, dtype.type(-np.inf)) if float(rounded) > value else rounded
