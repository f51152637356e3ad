"""What GoogLeNet and Inception v3 share: the convolution, auxiliary heads, the input's statistics."""

import math

import chainer
from chainer import initializers
from chainer.backends import cuda

from chainfpn._imagenet import IMAGENET_MEAN, IMAGENET_STD
from chainfpn._typing import Size, Variable
from chainfpn.functions._scale_shift import scale_shift
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.classifier import Classifier
from chainfpn.links.layers import Convolution2D, Linear, convolve


class ConvNormReLU(chainer.Chain):
    """A convolution without bias, batch normalization with eps 0.001, and ReLU.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        ksize (int or (int, int)): Kernel, odd.
        stride (int): Step in pixels.
        pad (int, (int, int) or None): Zeros around the input; None keeps the size at stride 1.
        std (float): Deviation of the normal initial weights.

    Source:
        torchvision 0.14 ``BasicConv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ksize: int | Size,
        *,
        stride: int = 1,
        pad: int | Size | None = None,
        std: float,
    ) -> None:
        super().__init__()
        if pad is None:
            pad = (ksize[0] // 2, ksize[1] // 2) if isinstance(ksize, tuple) else ksize // 2
        initial = initializers.Normal(std)
        with self.init_scope():
            self.conv = Convolution2D(in_channels, out_channels, ksize, stride, pad, nobias=True, initialW=initial)
            self.bn = BatchNormalization(out_channels, eps=1e-3)

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, in_channels, H, W) to (B, out_channels, H', W')."""
        return convolve(self.conv, x, self.bn, relu=True)  # (B, out_channels, H', W')


class ClassifierWithAuxiliaryHeads(Classifier):
    """A classifier with auxiliary heads on inner layers, which are used in training only.

    Args:
        n_class (int): Class scores.
        transform_input (bool): Turn the input by :func:`from_imagenet_statistics` first.

    Attributes:
        auxiliary (dict): Name of a layer to the name of the head on it, in order of depth.
        aux_logits (bool): Whether there are heads.
    """

    auxiliary: dict[str, str]

    def __init__(self, n_class: int, *, transform_input: bool) -> None:
        super().__init__()
        self.n_class = n_class
        self.aux_logits = False
        if transform_input:
            with self.init_scope():
                self.transform_input = from_imagenet_statistics

    def add_heads(self, *heads: chainer.Link) -> None:
        """Put the heads on, none of which is a layer.

        Args:
            *heads (chainer.Link): One for each name in ``auxiliary``.
        """
        for name, head in zip(self.auxiliary.values(), heads, strict=True):
            self.add_link(name, head)
            self.layer_names.remove(name)
        self.aux_logits = True

    def forward(self, x: Variable) -> Variable | tuple[Variable, ...]:
        """Compute what ``pick`` names; without ``pick``, the logits, and in training those of the heads as well.

        Args:
            x (Variable): (B, 3, H, W).

        Returns:
            Variable or tuple of Variable: What is picked; or the logits, (B, n_class); or, in training, the logits
            and those of each head in order of depth.
        """
        if self.pick is not None or not (self.aux_logits and chainer.config.train):
            return super().forward(x)  # (B, n_class), or what is picked
        logits = []
        for name in self.layer_names:
            x = self[name](x)  # (B, C, H', W'), or (B, D) once the maps are averaged
            if name in self.auxiliary:
                logits.append(self[self.auxiliary[name]](x))  # (B, n_class)
        return (x, *logits)


def from_imagenet_statistics(x: Variable) -> Variable:
    """Turn an input of ImageNet's mean and deviation into pixels in -1..1, as the TensorFlow weights expect them.

    Args:
        x (Variable): (B, 3, H, W).

    Returns:
        Variable: (B, 3, H, W).

    Source:
        torchvision 0.14 ``Inception3._transform_input``.
    """
    xp = cuda.get_array_module(x)
    scale, shift = (xp.array(values) for values in (IMAGENET_STD, IMAGENET_MEAN))
    return scale_shift(x, scale / 0.5, (shift - 0.5) / 0.5)


def normal_linear(in_size: int, out_size: int, *, std: float) -> Linear:
    """Make a fully connected layer of normal weights; its biases start like torch's.

    Args:
        in_size (int): Features in.
        out_size (int): Features out.
        std (float): Deviation of the weights.

    Returns:
        Linear: (B, in_size) to (B, out_size).
    """
    uniform = initializers.Uniform(1 / math.sqrt(in_size))
    return Linear(in_size, out_size, initialW=initializers.Normal(std), initial_bias=uniform)
