"""Gradients that together never grow too long."""

import math


class GradientClipping:
    """Shrink all gradients by the same factor where their norm passes a limit.

    Unlike Chainer's hook of this name, parameters without a gradient (frozen ones, those of a branch that had nothing
    to learn from) are left out, and the norm is that of the gradients without the scale of the loss.

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
        """
        grads = [param.grad for param in optimizer.target.params() if param.grad is not None]
        scale = optimizer._loss_scale or 1
        norm = math.sqrt(sum(float((grad.astype("float32") ** 2).sum()) for grad in grads)) / scale
        if norm > self.max_norm:
            for grad in grads:
                grad *= grad.dtype.type(self.max_norm / norm)
