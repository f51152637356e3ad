"""A scale and a shift for each channel: what frozen batch normalization comes down to."""

import chainer
from chainer.utils import type_check

from chainfpn._typing import Array, Variable


class ScaleShift(chainer.FunctionNode):
    """See :func:`scale_shift`."""

    def __init__(self, scale: Array, shift: Array | None) -> None:
        self.scale, self.shift = scale, shift

    def check_type_forward(self, in_types: type_check.TypeInfoTuple) -> None:
        """Require (B, C, ...) floats and a scale of C numbers."""
        type_check._argname(in_types, ("x",))
        type_check.expect(in_types[0].dtype.kind == "f", in_types[0].ndim >= 2, in_types[0].shape[1] == len(self.scale))

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute x * scale + shift in one array."""
        (x,) = inputs
        over_channels = (slice(None),) + (None,) * (x.ndim - 2)
        y = x * self.scale[over_channels].astype(x.dtype, copy=False)
        if self.shift is not None:
            y += self.shift[over_channels].astype(x.dtype, copy=False)
        return (y,)

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Scale the gradient; it is linear, so it is itself differentiable."""
        return ScaleShift(self.scale, None).apply(grad_outputs)


def scale_shift(x: Variable, scale: Array, shift: Array) -> Variable:
    """Compute ``x * scale + shift`` channel by channel.

    The two vectors are constants: no gradient reaches them.

    Args:
        x (Variable): float16/32/64, (B, C, ...).
        scale (array): float, (C,).
        shift (array): float, (C,).

    Returns:
        Variable: dtype and shape of x.

    Raises:
        chainer.utils.type_check.InvalidType: if x has another number of channels than scale.

    Source:
        torchvision 0.14 ``FrozenBatchNorm2d.forward``.

    Example:
        >>> import numpy as np
        >>> from chainfpn.functions import scale_shift
        >>> scale_shift(np.ones((1, 2, 1)), np.array([2.0, 3.0]), np.array([0.5, 0.0])).array.ravel()
        array([2.5, 3. ])
    """
    return ScaleShift(scale, shift).apply((x,))[0]
