"""The layers of all networks here, and how they run one after another.

Convolution and fully connected layer are Chainer's, computed faster on a CPU. Of a sequence, a convolution, its
normalization, the sum and the ReLU behind it are one call.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import initializers
from chainercv.links import PickableSequentialChain

from chainfpn._typing import Variable
from chainfpn.functions._convolution_2d import convolution_2d, fused_convolution_2d
from chainfpn.functions._fixed_normalization import Statistics, add_relu
from chainfpn.functions._linear_map import linear as apply_linear
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.group_normalization import GroupNormalization

#: Kaiming-normal over the fan-out: how most convolutions of torchvision start.
KAIMING = initializers.HeNormal(fan_option="fan_out")

#: What takes a residual and ``relu``: on a GPU, without gradients or with fixed statistics, all is one kernel.
_NORMALIZATIONS = (BatchNormalization, FrozenBatchNormalization, GroupNormalization)


class Convolution2D(L.Convolution2D):
    """Chainer's convolution, computed by :func:`chainfpn.functions.convolution_2d`: faster on the CPU.

    Arguments, parameters and what is written to files are ``chainer.links.Convolution2D``'s.
    """

    def forward(self, x: Variable) -> Variable:
        """Convolve.

        Args:
            x (Variable): float16/32/64, (B, in_channels, H, W).

        Returns:
            Variable: dtype of x, (B, out_channels, outh, outw).
        """
        x = chainer.as_variable(x)  # (B, C, H, W)
        if self.cudnn_fast or x.xp is not self.xp:
            return super().forward(x)  # (B, O, outh, outw)
        if self.W.raw_array is None:
            self._initialize_params(x.shape[1])
        if (y := self.fused(x)) is not None:
            return y  # (B, O, outh, outw)
        options = {"dilate": self.dilate, "groups": self.groups}
        return convolution_2d(x, self.W, self.b, self.stride, self.pad, **options)  # (B, O, outh, outw)

    def fused(
        self, x: Variable, statistics: Statistics | None = None, residual: Variable | None = None, *, relu: bool = False
    ) -> Variable | None:
        """Convolve, normalize by fixed statistics, add and rectify; None where this is not one way to compute it.

        Args:
            x (Variable): float, (B, in_channels, H, W).
            statistics (Statistics or None): Of a normalization.
            residual (Variable or None): dtype of x, (B, out_channels, outh, outw), added.
            relu (bool): Rectify in the end.

        Returns:
            Variable or None: dtype of x, (B, out_channels, outh, outw).
        """
        if self.W.raw_array is None:
            return None
        return fused_convolution_2d(x, self, statistics, residual, relu=relu)  # (B, O, outh, outw)


class Linear(L.Linear):
    """Chainer's fully connected layer, computed by our threads on a CPU, which leave none that spins behind.

    Arguments, parameters and what is written to files are ``chainer.links.Linear``'s.
    """

    def forward(self, x: Variable, n_batch_axes: int = 1) -> Variable:
        """Apply the layer.

        Args:
            x (Variable): float16/32/64, (B, ...).
            n_batch_axes (int): Axes that are kept; more than 1 is Chainer's way.

        Returns:
            Variable: dtype of x, (B, out_size).
        """
        x = chainer.as_variable(x)
        if self.W.raw_array is None or n_batch_axes != 1:
            return super().forward(x, n_batch_axes)
        return apply_linear(x, self.W, self.b)


def convolution(
    in_channels: int, out_channels: int, ksize: int, *, stride: int = 1, dilate: int = 1, groups: int = 1
) -> Convolution2D:
    """Make the convolution of a residual network: no bias, Kaiming-normal over the fan-out, same size at stride 1.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        ksize (int): Side of the kernel, odd.
        stride (int): Step in pixels.
        dilate (int): Distance of the taps in pixels.
        groups (int): Number of independent channel groups.

    Returns:
        Convolution2D: (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Source:
        He et al. 2015; torchvision 0.14 ``ResNet.__init__``.
    """
    options = {"nobias": True, "initialW": KAIMING, "dilate": dilate, "groups": groups}
    return Convolution2D(in_channels, out_channels, ksize, stride, dilate * (ksize // 2), **options)


def linear(in_size: int, out_size: int) -> Linear:
    """Make a fully connected layer that starts like ``torch.nn.Linear``.

    Weights and biases are uniform in +-1/sqrt(in_size).

    Args:
        in_size (int): Features in.
        out_size (int): Features out.

    Returns:
        Linear: (B, in_size) to (B, out_size).

    Source:
        PyTorch 1.13 ``Linear.reset_parameters``.
    """
    uniform = initializers.Uniform(1 / math.sqrt(in_size))
    return Linear(in_size, out_size, initialW=uniform, initial_bias=uniform)


def normalize(norm: Any, x: Variable, residual: Variable | None = None, *, relu: bool = False) -> Variable:
    """Normalize by a link; add and rectify.

    Args:
        norm (callable): Any normalization.
        x (Variable): (B, C, H, W).
        residual (Variable or None): dtype and shape of x, added.
        relu (bool): Rectify in the end.

    Returns:
        Variable: dtype and shape of x.
    """
    if isinstance(norm, _NORMALIZATIONS):
        return norm(x, residual, relu=relu)
    return add_relu(norm(x), residual, relu)


def convolve(
    conv: Any, x: Variable, norm: Any = None, residual: Variable | None = None, *, relu: bool = False
) -> Variable:
    """Convolve, normalize, add and rectify: without gradients one call, on a CPU block by block.

    Args:
        conv (callable): Any convolution.
        x (Variable): (B, C, H, W).
        norm (callable or None): Any normalization; None for none.
        residual (Variable or None): dtype of x, shape of the result, added.
        relu (bool): Rectify in the end.

    Returns:
        Variable: dtype of x, (B, O, outh, outw).
    """
    is_constant = not chainer.config.train and not chainer.config.enable_backprop
    kinds = (FrozenBatchNormalization, BatchNormalization) if is_constant else (FrozenBatchNormalization,)
    has_statistics = norm is None or type(norm) in kinds
    if type(conv) is Convolution2D and has_statistics and not has_hooks(conv, norm):
        y = conv.fused(x, None if norm is None else norm.statistics, residual, relu=relu)  # (B, O, outh, outw)
        if y is not None:
            return y
    h = conv(x)  # (B, O, outh, outw)
    return add_relu(h, residual, relu) if norm is None else normalize(norm, h, residual, relu=relu)


def has_hooks(*links: chainer.Link | None) -> bool:
    """Return whether somebody watches links: bool."""
    return bool(chainer._get_link_hooks()) or any(link is not None and link._n_local_link_hooks for link in links)


def run_layers(
    chain: Any, names: Sequence[str], x: Variable, pick: Collection[str] = ()
) -> Iterator[tuple[str, Variable]]:
    """Apply layers in turn.

    Args:
        chain (chainer.Chain): It has them.
        names (sequence of str): Their names.
        x (Variable): The input.
        pick (collection of str): Layers whose output is wanted: one that is not among them may be normalized and
            rectified already if that follows.

    Yields:
        tuple: The name of each layer, and its output.
    """
    layers = [*(chain[name] for name in names), None, None]
    begin = 0
    while begin < len(names):
        end, layer, norm = begin + 1, layers[begin], None
        if type(layer) is Convolution2D and isinstance(layers[end], _NORMALIZATIONS) and names[begin] not in pick:
            norm, end = layers[end], end + 1
        relu = layers[end] is F.relu and names[end - 1] not in pick
        if type(layer) is Convolution2D:
            x = convolve(layer, x, norm, relu=relu)
        else:
            x = normalize(layer, x, relu=True) if relu else layer(x)
        for name in names[begin : end + relu]:
            yield name, x
        begin = end + relu


class SequentialChain(PickableSequentialChain):
    """ChainerCV's sequence of layers that can be picked, run by :func:`run_layers`."""

    def forward(self, x: Variable) -> Variable:
        """Apply the layers up to the last that is picked.

        Args:
            x (Variable): (B, ...), what the first layer takes.

        Returns:
            Variable or tuple of Variable: (B, ...), the output of the layer that ``pick`` names, or of each; by default
            the last.
        """
        pick = (self.layer_names[-1],) if self._pick is None else self._pick
        n_layers = max(map(self.layer_names.index, pick)) + 1  # (no array, a number)
        layers = run_layers(self, self.layer_names[:n_layers], x, pick)  # (name, output) of each
        outputs = {name: h for name, h in layers if name in pick}  # (B, ...) by name
        return tuple(outputs[name] for name in pick) if self._return_tuple else outputs[pick[0]]


class IndexedSequential(SequentialChain):
    """Apply layers in turn; a layer's name is its position, functions counted.

    ``chainer.Sequential`` numbers only its links, and from the third on in an order that is not theirs;
    ``torch.nn.Sequential`` numbers all its layers: in ``IndexedSequential(conv, F.relu, conv)`` the second convolution
    is ``2``, as in torch, so that weights keep their names. What is returned is set by ``pick`` (a name such as
    ``'2'`` or several), the last output by default.

    Args:
        *layers (callable): Links and functions of one argument.
        start (int): Number of the first, where they are the end of a longer sequence.

    Example:
        >>> import chainer.functions as F, chainer.links as L
        >>> from chainfpn.links import IndexedSequential
        >>> layers = IndexedSequential(L.Linear(2, 3), F.relu, L.Linear(3, 1))
        >>> sorted(name for name, _ in layers.namedparams())
        ['/0/W', '/0/b', '/2/W', '/2/b']
        >>> layers[-1] is layers["2"], len(layers)
        (True, 3)
    """

    def __init__(self, *layers: Callable, start: int = 0) -> None:
        super().__init__()
        with self.init_scope():
            for i, layer in enumerate(layers, start):
                setattr(self, str(i), layer)

    def __len__(self) -> int:
        return len(self.layer_names)

    def __getitem__(self, index: int | str) -> Any:
        """Return a layer by its position or its name.

        Args:
            index (int or str): Position, from the end if negative, or name.

        Returns:
            callable: The layer.

        Raises:
            IndexError: if there is no such position.
            AttributeError: if there is no such name.
        """
        return super().__getitem__(self.layer_names[index] if isinstance(index, int) else index)
