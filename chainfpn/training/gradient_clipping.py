"""Gradients that together never grow too long."""

import math

import numpy as np


class GradientClipping:
    """Shrink all gradients by the same factor where their norm passes a limit.

    Unlike Chainer's hook of this name, parameters without a gradient (frozen ones, those of a branch that had nothing
    to learn from) are left out, and the norm is that of the gradients without the scale of the loss. Gradients that are
    not finite are left as they are where Chainer is about to skip the update and lower that scale, and are an error
    everywhere else, before they spoil the weights.

    Args:
        max_norm (float): Largest L2 norm of all gradients together.

    Raises:
        ValueError: if max_norm is not > 0.

    Source:
        Pascanu et al. 2013; PyTorch 1.13 ``clip_grad_norm_``.
    """

    name = "GradientClipping"
    timing = "pre"

    def __init__(self, max_norm):
        if not max_norm > 0:
            raise ValueError(f"GradientClipping: max_norm must be > 0, got {max_norm!r}")
        self.max_norm = max_norm

    def __call__(self, optimizer):
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
        with np.errstate(over="ignore"):  # the norm is then infinite, which is looked at
            norm = math.sqrt(sum(float((grad.astype("float32") ** 2).sum()) for grad in grads)) / scale
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"GradientClipping: the norm of the gradients must be finite, got {norm};"
                " the learning rate may be too high"
            )
        if norm > self.max_norm:
            for grad in grads:
                grad *= grad.dtype.type(self.max_norm / norm)
