"""The updates of parameters on a CPU, compiled: one pass over memory, no temporary array, and Chainer's very bits."""

from collections.abc import Callable, Sequence

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.numba_common import exact

#: Numbers of a share of the work.
SHARE = 1 << 17


def update(kernel: Callable, members: Sequence[Sequence[Array]], numbers: Sequence[float]) -> None:
    """Update parameters in place; threads share their elements.

    Args:
        kernel (callable): ``momentum`` or ``adam``.
        members (sequence): For each parameter its gradient, itself and its states: one dtype, C-contiguous.
        numbers (sequence of float): What the kernel takes behind the arrays.
    """
    numbers = [members[0][0].dtype.type(number) for number in numbers]
    tasks: list[tuple] = []
    for arrays in members:
        flat = [array.reshape(-1) for array in arrays]
        shares = [slice(begin, begin + SHARE) for begin in range(0, flat[0].size, SHARE)]
        tasks += [(*(array[share] for array in flat), *numbers) for share in shares]
    threads.run(kernel, tasks)


@exact
def momentum(grad, param, v, early, scale, late, lr, rate):
    """Decay ``early`` or ``late``, before or after the scale of the loss is taken away; then as ``MomentumSGDRule``."""
    for k in range(param.size):
        g = _decayed(grad[k], param[k], early, scale, late)
        v[k] = v[k] * rate - lr * g
        param[k] += v[k]


@exact
def adam(grad, param, m, v, early, scale, late, alpha, share1, share2, eps, eta, kept):
    """Decay as in ``momentum``; then as ``AdamRule``, by which ``kept`` of a parameter stays."""
    for k in range(param.size):
        g = _decayed(grad[k], param[k], early, scale, late)
        m[k] += share1 * (g - m[k])
        v[k] += share2 * (g * g - v[k])
        step = alpha / (np.sqrt(v[k]) + eps)
        param[k] = param[k] * kept - eta * (step * m[k])


@exact
def _decayed(g, param, early, scale, late):
    g = g + early * param if early != 0 else g
    g = g / scale
    return g + late * param if late != 0 else g
