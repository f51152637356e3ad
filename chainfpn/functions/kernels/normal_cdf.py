"""The distribution function of the normal distribution on the CPU; what is compiled is in ``numba_channels``."""

import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import for_compiled, import_compiled

#: erf(z) = z P(z^2) / Q(z^2) for z in -4..4, within 3e-8: our own minimax fit, constants first.
P = tuple(map(np.float32, (1.1283789873, 0.1962461323, 0.0534669198, 0.0040034493, 0.0002880247, 0.0000019747083)))
Q = tuple(map(np.float32, (1.0, 0.5072497725, 0.1164750755, 0.0154440711, 0.0012162873, 0.0000374786832)))
HALF = np.float32(0.5)

_erf = np.vectorize(math.erf, otypes=[np.float64])


def normal_cdf(x: Array) -> Array:
    """Compute (1 + erf(x / sqrt 2)) / 2, in float32 within 3e-7, in float64 to the last bits.

    Args:
        x (array): float16/32/64, any shape; float16 is computed in float32.

    Returns:
        array: dtype and shape of x.
    """
    if x.dtype == np.float16:
        return normal_cdf(x.astype(np.float32)).astype(x.dtype)
    if compiled := import_compiled("numba_channels"):
        return compiled.normal_cdf(for_compiled(x))
    z = x * x.dtype.type(math.sqrt(0.5))
    if x.dtype == np.float64:
        return (1 + _erf(z)) / 2 if x.size else x.copy()
    return rational_cdf(np.clip(z, np.float32(-4), np.float32(4)))


def rational_cdf(z):
    """(1 + erf(z)) / 2 of float32 in -4..4, an array or a number."""
    t = z * z
    p = ((((P[5] * t + P[4]) * t + P[3]) * t + P[2]) * t + P[1]) * t + P[0]
    q = ((((Q[5] * t + Q[4]) * t + Q[3]) * t + Q[2]) * t + Q[1]) * t + Q[0]
    return HALF + HALF * z * p / q
