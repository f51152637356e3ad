"""The activation of transformers: exact, with the error function."""

import math

import chainer
import chainer.functions as F
from chainer.backends import cuda
from chainer.utils import type_check

from chainfpn._typing import Array, Variable
from chainfpn.functions.kernels.normal_cdf import normal_cdf


class NormalCDF(chainer.FunctionNode):
    """The distribution function of the normal distribution."""

    def check_type_forward(self, in_types: type_check.TypeInfoTuple) -> None:
        """Require floats."""
        type_check._argname(in_types, ("x",))
        type_check.expect(in_types[0].dtype.kind == "f")

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute (1 + erf(x / sqrt 2)) / 2."""
        self.retain_inputs((0,))
        return (normal_cdf(inputs[0]),)

    def forward_gpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute (1 + erf(x / sqrt 2)) / 2."""
        self.retain_inputs((0,))
        formula = f"y = (T)0.5 + (T)0.5 * (T)erf(x * (T){math.sqrt(0.5)!r})"
        return (cuda.elementwise("T x", "T y", formula, "normal_cdf")(inputs[0]),)

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Multiply with the density."""
        (x,) = self.get_retained_inputs()
        return (grad_outputs[0] * F.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)),)


def gelu(x: Variable) -> Variable:
    """Compute x times the share of a normal distribution that is below x.

    Args:
        x (Variable or array): float16/32/64, any shape.

    Returns:
        Variable: dtype and shape of x.

    Source:
        Hendrycks and Gimpel 2016; PyTorch 1.13 ``gelu`` without approximation.
    """
    return x * NormalCDF().apply((x,))[0]
