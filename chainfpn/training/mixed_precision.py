"""Training in mixed precision."""

import math
from typing import Any

import chainer

from chainfpn.training._many_arrays import sum_of_squares


def use_mixed_precision(optimizer: chainer.Optimizer) -> None:
    """Update a float32 copy of every float16 parameter, and search for the largest scale of the loss.

    As Chainer's ``use_fp32_update`` and ``loss_scaling``, but whether all gradients are finite is asked once per
    update: Chainer asks for each parameter, and the host waits for the device each time.

    Args:
        optimizer (chainer.Optimizer): An optimizer by gradients.

    Source:
        Micikevicius et al. 2018, section 3.
    """
    optimizer.use_fp32_update()
    optimizer.loss_scaling()
    optimizer.check_nan_in_grads = _FiniteCheck(optimizer)


class _FiniteCheck:
    """Chainer's check of the gradients, left out where the sum of their squares is finite."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer, self._each = optimizer, optimizer.check_nan_in_grads

    def __call__(self) -> None:
        grads = [param.grad for param in self._optimizer.target.params() if param.grad is not None]
        if math.isfinite(sum_of_squares(grads)):
            self._optimizer._loss_scaling_isnan = False
        else:
            self._each()
