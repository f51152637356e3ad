"""Gradients with a bounded norm."""

import math

import chainer

from chainfpn._attributes import Checked
from chainfpn.training._many_arrays import multiply, sum_of_squares


class GradientClipping:
    """Scale all gradients by the same factor where their norm exceeds a limit.

    Unlike Chainer's hook of this name, it skips parameters without a gradient (frozen ones, those of a branch without
    foreground), and takes the norm of the gradients without the scale of the loss. Gradients that are not finite are
    left as they are where Chainer is about to skip the update and lower that scale, and are an error everywhere else,
    before they spoil the weights.

    Args:
        max_norm (float): Largest L2 norm of all gradients together.

    Raises:
        ValueError: if max_norm is not > 0.

    Source:
        Pascanu et al. 2013; PyTorch 1.13 ``clip_grad_norm_``.
    """

    name = "GradientClipping"
    timing = "pre"

    max_norm = Checked("> 0", lambda value: value > 0)

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def __call__(self, optimizer: chainer.Optimizer) -> None:
        """Clip.

        Args:
            optimizer (chainer.Optimizer): Its target's gradients are changed in place.

        Raises:
            FloatingPointError: if the norm is not finite, except where the loss is scaled dynamically.
        """
        if optimizer._loss_scaling_is_dynamic and not optimizer.is_safe_to_update():
            return
        grads = [param.grad for param in optimizer.target.params() if param.grad is not None]
        scale = optimizer._loss_scale or 1
        norm = math.sqrt(sum_of_squares(grads)) / scale
        if not math.isfinite(norm):
            problem = f"the norm of the gradients must be finite, got {norm}"
            raise FloatingPointError(f"GradientClipping: {problem}; the learning rate may be too high")
        if norm > self.max_norm:
            multiply(grads, self.max_norm / norm)
