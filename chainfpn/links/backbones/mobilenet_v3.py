"""MobileNetV3, attribute for attribute torchvision's."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import chainer
import chainer.functions as F
from chainer import initializers
from chainer.backends import cuda

from chainfpn._divisible import make_divisible
from chainfpn._typing import Variable
from chainfpn.functions.kernels import for_compiled, import_for_inference
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.blocks import Residual, SqueezeExcitation, conv_norm_activation, relu6
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import IndexedSequential, Linear


def hard_sigmoid(x: Variable) -> Variable:
    """Compute min(max(x + 3, 0), 6) / 6: torch's, whose slope is 1/6 where ``F.hard_sigmoid`` has 1/5.

    Args:
        x (Variable): float16/32/64, any shape.

    Returns:
        Variable: dtype and shape of x.
    """
    y = _in_one_kernel(x, times_x=False)
    return relu6(x + 3) / 6 if y is None else y


def hard_swish(x: Variable) -> Variable:
    """Compute x times :func:`hard_sigmoid` of it."""
    y = _in_one_kernel(x, times_x=True)
    return x * hard_sigmoid(x) if y is None else y


def _in_one_kernel(x, *, times_x):
    """Compute the hard sigmoid of x, times x or not; None where gradients count, and on a CPU without Numba."""
    array = chainer.as_variable(x).array
    if chainer.config.enable_backprop:
        return None
    if (compiled := import_for_inference("numba_channels", array)) is not None:
        return chainer.as_variable(compiled.hard_gate(for_compiled(array), times_x))
    if not isinstance(array, cuda.ndarray):
        return None
    formula = "y = x * gate;" if times_x else "y = gate;"
    gate = """
        const T shifted = x + (T)3;
        const T gate = (shifted < (T)0 ? (T)0 : shifted > (T)6 ? (T)6 : shifted) * (T)(1.0 / 6);  // as Chainer divides
    """
    return chainer.as_variable(cuda.elementwise("T x", "T y", gate + formula, "hard_activation")(array))


class Row(NamedTuple):
    """One inverted residual: kernel, channels in the middle and out, squeeze and excitation, activation, stride."""

    ksize: int
    width: int
    out_channels: int
    squeeze: bool
    activation: Callable
    stride: int


#: Howard et al. 2019, table 1: the blocks of the large network ...
LARGE = (
    Row(3, 16, 16, False, F.relu, 1),
    Row(3, 64, 24, False, F.relu, 2),
    Row(3, 72, 24, False, F.relu, 1),
    Row(5, 72, 40, True, F.relu, 2),
    *2 * [Row(5, 120, 40, True, F.relu, 1)],
    Row(3, 240, 80, False, hard_swish, 2),
    Row(3, 200, 80, False, hard_swish, 1),
    *2 * [Row(3, 184, 80, False, hard_swish, 1)],
    Row(3, 480, 112, True, hard_swish, 1),
    Row(3, 672, 112, True, hard_swish, 1),
    Row(5, 672, 160, True, hard_swish, 2),
    *2 * [Row(5, 960, 160, True, hard_swish, 1)],
)
#: ... and table 2: those of the small one.
SMALL = (
    Row(3, 16, 16, True, F.relu, 2),
    Row(3, 72, 24, False, F.relu, 2),
    Row(3, 88, 24, False, F.relu, 1),
    Row(5, 96, 40, True, hard_swish, 2),
    *2 * [Row(5, 240, 40, True, hard_swish, 1)],
    Row(5, 120, 48, True, hard_swish, 1),
    Row(5, 144, 48, True, hard_swish, 1),
    Row(5, 288, 96, True, hard_swish, 2),
    *2 * [Row(5, 576, 96, True, hard_swish, 1)],
)


class InvertedResidual(Residual):
    """Expand, convolve depthwise, weigh the channels, project without activation.

    Args:
        in_channels (int): Channels in; where they equal those out and the stride is 1, the input is added.
        row (Row): The block's numbers.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Howard et al. 2019, figure 4; torchvision 0.14 ``mobilenetv3.InvertedResidual``.
    """

    def __init__(self, in_channels: int, row: Row, *, norm: Callable) -> None:
        ksize, width, out_channels, squeeze, activation, stride = row
        block = partial(conv_norm_activation, norm=norm, activation=activation)
        layers: list[Callable] = [
            *([] if width == in_channels else [block(in_channels, width, 1)]),  # (B, width, H, W)
            block(width, width, ksize, stride=stride, groups=width),  # (B, width, H / stride, W / stride)
            *([SqueezeExcitation(width, make_divisible(width // 4), gate=hard_sigmoid)] if squeeze else []),
            block(width, out_channels, 1, activation=None),  # (B, out_channels, H / stride, W / stride)
        ]
        super().__init__("block", layers, residual=stride == 1 and in_channels == out_channels)


class MobileNetV3(Classifier):
    """Inverted residuals between two convolutions, and two fully connected layers.

    The layers are ``features``, ``avgpool`` and ``classifier``; those of ``features`` can be picked as well, by the
    names torch gives them.

    Args:
        rows (sequence of Row): The blocks: :data:`LARGE` or :data:`SMALL`.
        hidden (int): Features between the two fully connected layers.
        n_class (int): Class scores.
        width_mult (float): Factor on the channels of every layer.
        dropout (float): Share of the features dropped before the last layer in training.
        norm (callable or None): Makes the normalization link for a number of channels; batch normalization with the
            network's own constants by default.

    Source:
        Howard et al. 2019; torchvision 0.14 ``MobileNetV3``.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        hidden: int,
        n_class: int = 1000,
        *,
        width_mult: float = 1.0,
        dropout: float = 0.2,
        norm: Callable | None = None,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        norm = partial(BatchNormalization, eps=1e-3, decay=0.99) if norm is None else norm
        in_channels, hidden = make_divisible(16 * width_mult), make_divisible(hidden * width_mult)
        block = partial(conv_norm_activation, norm=norm, activation=hard_swish)
        layers = [block(3, in_channels, stride=2)]  # (B, C, H/2, W/2)
        for row in rows:
            width, out_channels = (make_divisible(n * width_mult) for n in (row.width, row.out_channels))
            scaled = row._replace(width=width, out_channels=out_channels)
            layers.append(InvertedResidual(in_channels, scaled, norm=norm))
            in_channels = out_channels
        last = 6 * in_channels
        layers.append(block(in_channels, last, 1))
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, last, H/32, W/32)
            self.avgpool = global_average  # (B, last)
            self.classifier = IndexedSequential(
                Linear(last, hidden, initialW=initializers.Normal(0.01)),  # (B, hidden)
                hard_swish,
                partial(F.dropout, ratio=dropout),
                Linear(hidden, n_class, initialW=initializers.Normal(0.01)),  # (B, n_class)
            )
