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
