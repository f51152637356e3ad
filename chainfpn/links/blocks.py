"""What the backbones are built of: convolution, normalization and activation; residuals; squeeze and excitation."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import chainer
import chainer.functions as F
from chainer import backend, initializers

from chainfpn._typing import Variable
from chainfpn.functions.kernels import for_compiled, import_for_inference
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.layers import KAIMING, Convolution2D, IndexedSequential, convolution

relu6 = partial(F.clipped_relu, z=6.0)


def identity(x: Variable) -> Variable:
    """Return x: where torch moves the channels to the end, and back, they stay where they are."""
    return x


def conv_norm_activation(
    in_channels: int,
    out_channels: int,
    ksize: int = 3,
    *,
    stride: int = 1,
    dilate: int = 1,
    groups: int = 1,
    norm: Callable = BatchNormalization,
    activation: Callable | None = F.relu,
) -> IndexedSequential:
    """Chain a convolution without bias, its normalization and an activation.

    Args:
        in_channels, out_channels, ksize, stride, dilate, groups: See
            :func:`~chainfpn.links.layers.convolution`.
        norm (callable): Makes the normalization link for a number of channels.
        activation (callable or None): The function at the end; None for none.

    Returns:
        IndexedSequential: (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Source:
        torchvision 0.14 ``Conv2dNormActivation``.
    """
    conv = convolution(in_channels, out_channels, ksize, stride=stride, dilate=dilate, groups=groups)
    return IndexedSequential(conv, norm(out_channels), *([] if activation is None else [activation]))


class SqueezeExcitation(chainer.Chain):
    """Weigh the channels by what all of them are on average.

    Args:
        channels (int): Channels in and out.
        squeezed (int): Channels in between.
        activation (callable): Between the two layers.
        gate (callable): What makes weights of the second layer's output.
        zero_bias (bool): Start with biases of zero; else they are uniform, as torch makes those that nobody sets.

    Source:
        Hu et al. 2017; torchvision 0.14 ``SqueezeExcitation``, with its two fully connected layers as convolutions.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        *,
        activation: Callable = F.relu,
        gate: Callable = F.sigmoid,
        zero_bias: bool = True,
    ) -> None:
        super().__init__()
        self.activation, self.gate = activation, gate
        bias_1, bias_2 = (0 if zero_bias else initializers.Uniform(1 / math.sqrt(n)) for n in (channels, squeezed))
        with self.init_scope():
            self.fc1 = Convolution2D(channels, squeezed, 1, initialW=KAIMING, initial_bias=bias_1)
            self.fc2 = Convolution2D(squeezed, channels, 1, initialW=KAIMING, initial_bias=bias_2)

    def forward(self, x: Variable) -> Variable:
        """Weigh the channels: (B, channels, H, W) to (B, channels, H, W)."""
        h = F.mean(x, axis=(2, 3), keepdims=True)  # (B, C, 1, 1)
        h = self.gate(self.fc2(self.activation(self.fc1(h))))  # (B, C, 1, 1)
        arrays = chainer.as_variable(x).array, h.array  # (B, C, H, W), (B, C, 1, 1)
        if compiled := import_for_inference("numba_channels", *arrays):
            return chainer.as_variable(compiled.weigh(*map(for_compiled, arrays)))  # (B, C, H, W)
        return F.broadcast_to(h, x.shape) * x  # (B, C, H, W)


class Residual(chainer.Chain):
    """Layers, and the sum with their input.

    Args:
        name (str): The attribute that holds the layers.
        layers (sequence of callable): From (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).
        residual (bool): Whether the input is added.
        drop_prob (float): Probability that only the input is left of an image in training.
    """

    def __init__(self, name: str, layers: Sequence[Callable], *, residual: bool, drop_prob: float = 0.0) -> None:
        super().__init__()
        self._layers, self.residual, self.drop_prob = name, residual, drop_prob
        with self.init_scope():
            setattr(self, name, IndexedSequential(*layers))

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        h = self[self._layers](x)  # (B, out_channels, H/s, W/s)
        return x + stochastic_depth(h, self.drop_prob) if self.residual else h  # (B, out_channels, H/s, W/s)


def stochastic_depth(x: Variable, p: float) -> Variable:
    """Set all that a block adds to an image to zero with a probability, in training; scale up what is left.

    Args:
        x (Variable): (B, ...), the block's output before it is added to its input.
        p (float): The probability, in 0 to 1.

    Returns:
        Variable: dtype and shape of x; x itself outside of training.

    Source:
        Huang et al. 2016, section 3; torchvision 0.14 ``stochastic_depth`` in mode ``"row"``.
    """
    if not (chainer.config.train and p):
        return x
    xp = backend.get_array_module(x)
    kept = xp.random.random(len(x)) >= p  # (B,)
    scale = kept.astype(x.dtype) * (1 / (1 - p) if p < 1 else 0)  # (B,)
    return x * scale.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))  # (B, ...)


def depth_probabilities(last: float, n_blocks: int, *, reached: bool = True) -> list[float]:
    """Return the probability of each block, which grows from 0 by equal steps.

    Args:
        last (float): The largest.
        n_blocks (int): Blocks of the network.
        reached (bool): Whether the last block has it, or one after it would have.

    Returns:
        list of float: One per block.
    """
    return [last * i / (n_blocks - reached) for i in range(n_blocks)]
