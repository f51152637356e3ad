"""Losses that are one number, whose gradient is known as soon as it is: one function node for all of them."""

from collections.abc import Callable
from typing import TypeAlias

import chainer
import numpy as np
from chainer import backend, function_node

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._gather import GatheredInput
from chainfpn.functions.kernels import compute_dtype, cuda_losses

#: What a loss takes: a variable, an array, or elements of some.
LossInput: TypeAlias = Variable | GatheredInput


class FusedLoss(function_node.FunctionNode):
    """Compute a number from elements of some arrays, and its gradient along with it; float16 is computed in float32.

    Args:
        label (str): Name shown in dumps of the graph.
        x (GatheredInput): The elements.
        compute (callable): Array to the terms whose sum is the value, and its gradient.
        divisor (float): What both are divided by.
    """

    label = None

    def __init__(self, label: str, x: GatheredInput, compute: Callable, divisor: float) -> None:
        super().__init__()
        self.label, self._x, self._compute, self._divisor = label, x, compute, float(divisor)

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute the value; keep the gradient."""
        self.retain_inputs(range(len(inputs)))
        (x,) = self._x.gather(inputs)
        dtype = compute_dtype(x.dtype)
        terms, self._gradient = self._compute(x.astype(dtype, copy=False))
        value = terms.sum(dtype=np.float64) / self._divisor
        return (backend.get_array_module(x).asarray(value, dtype=dtype),)

    def backward(self, indexes: tuple[int, ...], gys: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Scale the gradient and scatter it; build a graph only with ``enable_backprop``."""
        (gy,) = gys
        if chainer.config.enable_backprop:
            return _Gradient(self).apply((gy, *self.get_retained_inputs()))
        return tuple(map(chainer.as_variable, self.gradients(gy.array)))

    def gradients(self, gy: Array) -> tuple[Array, ...]:
        """Compute the gradients of the inputs from that of the output, (), as arrays."""
        gradient = self._gradient * (gy / self._divisor)
        return self._x.scatter((gradient.astype(self._x.dtype, copy=False),))


class _Gradient(function_node.FunctionNode):
    """Gradients of a loss. They depend on its inputs, too: the node takes them only to refuse a second derivative."""

    def __init__(self, loss):
        super().__init__()
        self._loss = loss

    def forward(self, inputs):
        return self._loss.gradients(inputs[0])

    def backward(self, indexes, gys):
        raise NotImplementedError(f"{self._loss.label}: there is no second derivative")


def fused_loss(label: str, x: LossInput, compute: Callable, divisor: float) -> Variable:
    """Apply a loss to a variable, or to elements of some.

    Args:
        label (str): Name shown in dumps of the graph.
        x (Variable, array or GatheredInput): float16/32/64.
        compute (callable): See :class:`FusedLoss`.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or, of float64, float64, ().

    Raises:
        ValueError: if the divisor is not positive.
    """
    if not divisor > 0:
        raise InvalidArgument(label, "divisor", "> 0", divisor)
    if not isinstance(x, GatheredInput):
        x = GatheredInput(label, (x,), x.shape, lambda xs: xs, lambda gxs: gxs)
    return FusedLoss(label, x, compute, divisor).apply(x.variables)[0]


def cross_entropy(x: LossInput, t: Array, *, divisor: float = 1) -> Variable:
    """Sum -log(softmax(x)) of the target classes.

    Args:
        x (Variable or GatheredInput): float16/32/64, (R, K), logits. float16 is computed in float32.
        t (array): integers, (R,), the class of each row, in [0, K).
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, (); 0 where there is no row, for which Chainer's ``softmax_cross_entropy`` has no
        gradient.

    Raises:
        ValueError: if the shapes do not fit, or the divisor is not positive.

    Source:
        PyTorch 1.13 ``cross_entropy`` with ``reduction="sum"``.

    Example:
        >>> float(cross_entropy(np.zeros((3, 2)), np.array([0, 1, 1])).array / np.log(2))
        3.0
    """
    if x.ndim != 2 or t.shape != x.shape[:1]:
        got = f"shapes {x.shape} and {t.shape}"
        raise InvalidArgument("cross_entropy", "x", "(R, K) and t (R,)", (x.shape, t.shape), got=got)

    def compute(x):
        if backend.get_array_module(x) is not np:
            return cuda_losses.cross_entropy(x, t)
        rows = np.arange(len(x))
        shifted = x - x.max(axis=1, keepdims=True)
        power = np.exp(shifted)
        total = power.sum(axis=1)  # (R,)
        terms = np.log(total) - shifted[rows, t]
        power /= total[:, None]
        power[rows, t] -= 1
        return terms, power

    return fused_loss("cross_entropy", x, compute, divisor)


def binary_cross_entropy(x: LossInput, t: Array, *, divisor: float = 1) -> Variable:
    """Sum -t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x)).

    Args:
        x (Variable or GatheredInput): float16/32/64, any shape, logits. float16 is computed in float32.
        t (array): float, shape of x, in 0..1; not differentiated.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, ().

    Raises:
        ValueError: if the shapes differ, or the divisor is not positive.

    Source:
        PyTorch 1.13 ``binary_cross_entropy_with_logits``. Chainer's ``sigmoid_cross_entropy`` takes only 0 and 1.

    Example:
        >>> import numpy as np
        >>> float(binary_cross_entropy(np.zeros(2), np.array([0.0, 0.25])).array / np.log(2))
        2.0
    """
    if x.shape != t.shape:
        raise ValueError(f"binary_cross_entropy: t must have the shape of x {x.shape}, got {t.shape}")

    def compute(x):
        if backend.get_array_module(x) is not np:
            return cuda_losses.binary_cross_entropy(x, t)
        target = t.astype(x.dtype, copy=False)
        small = np.exp(-np.abs(x))  # never overflows
        terms = np.maximum(x, 0) - x * target + np.log1p(small)
        return terms, np.where(x >= 0, 1, small) / (1 + small) - target

    return fused_loss("binary_cross_entropy", x, compute, divisor)


def smooth_l1_loss(x: LossInput, t: Array, *, beta: float = 1.0, divisor: float = 1) -> Variable:
    """Sum the absolute differences, squared where they are small.

    A difference d counts d**2 / (2 * beta) if abs(d) < beta, else abs(d) - beta / 2; with beta 0 that is L1.

    Args:
        x (Variable or GatheredInput): float16/32/64, any shape. float16 is computed in float32.
        t (array): float, shape of x, the targets; not differentiated.
        beta (float): Where the square ends.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, ().

    Raises:
        ValueError: if the shapes differ, beta is negative or the divisor not positive.

    Source:
        Girshick 2015; PyTorch 1.13 ``smooth_l1_loss``.

    Example:
        >>> import numpy as np
        >>> smooth_l1_loss(np.array([0.5, 3.0]), np.zeros(2)).array
        array(2.625)
    """
    if x.shape != t.shape:
        raise ValueError(f"smooth_l1_loss: t must have the shape of x {x.shape}, got {t.shape}")
    if not beta >= 0:
        raise InvalidArgument("smooth_l1_loss", "beta", ">= 0", beta)

    def compute(x):
        if backend.get_array_module(x) is not np:
            return cuda_losses.smooth_l1(x, t, beta)
        difference = x - t.astype(x.dtype, copy=False)
        size = np.abs(difference)
        if beta == 0:
            return size, np.sign(difference)
        terms = np.where(size < beta, 0.5 / beta * size * size, size - 0.5 * beta)
        return terms, np.clip(difference / beta, -1, 1)

    return fused_loss("smooth_l1_loss", x, compute, divisor)
