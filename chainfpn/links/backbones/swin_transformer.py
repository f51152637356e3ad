"""Swin Transformer and its second version, attribute for attribute torchvision's; channels come first here."""

import math
from collections.abc import Sequence

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions._gelu import gelu
from chainfpn.links.backbones.shifted_windows import ShiftedWindowAttention, ShiftedWindowAttentionV2
from chainfpn.links.blocks import depth_probabilities, identity, stochastic_depth
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layer_normalization import LayerNormalization
from chainfpn.links.layers import Convolution2D, IndexedSequential, Linear
from chainfpn.links.pointwise import Pointwise


class PatchMerging(chainer.Chain):
    """Halve the resolution: the channels of four pixels become half as many of one.

    Args:
        channels (int): Channels in; twice as many come out.
        v2 (bool): Normalize behind the linear layer, not before it.

    Source:
        Liu et al. 2021, section 3.1; torchvision 0.14 ``PatchMerging``, ``PatchMergingV2``.
    """

    def __init__(self, channels: int, *, v2: bool = False) -> None:
        super().__init__()
        self.v2 = v2
        with self.init_scope():
            self.reduction = Pointwise(4 * channels, 2 * channels, nobias=True)
            self.norm = LayerNormalization((2 if v2 else 4) * channels)

    def forward(self, x: Variable) -> Variable:
        """Merge pixels: (B, channels, H, W) to (B, 2 channels, ceil(H / 2), ceil(W / 2))."""
        odd = [(0, n % 2) for n in x.shape[2:]]  # (no array, two pairs)
        x = F.pad(x, ((0, 0), (0, 0), *odd), "constant") if any(map(any, odd)) else x
        corners = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]  # (B, C, H/2, W/2) each
        h = F.concat(corners)  # (B, 4 C, H/2, W/2)
        return self.norm(self.reduction(h)) if self.v2 else self.reduction(self.norm(h))  # (B, 2 C, H/2, W/2)


class SwinTransformerBlock(chainer.Chain):
    """Attention within windows and two layers over the channels, each normalized and added to its input.

    Args:
        channels (int): Channels in and out.
        n_heads (int): Heads of the attention.
        side (int): Of a window, in pixels.
        shift (int): How far the windows are shifted.
        v2 (bool): Normalize behind attention and layers, not before them; and see
            :class:`~chainfpn.links.backbones.shifted_windows.ShiftedWindowAttentionV2`.
        drop_prob (float): Probability that a part adds nothing to an image in training.

    Source:
        Liu et al. 2021, figure 3; Liu et al. 2022, figure 1; torchvision 0.14 ``SwinTransformerBlock``.
    """

    def __init__(
        self, channels: int, n_heads: int, side: int, shift: int, *, v2: bool = False, drop_prob: float = 0.0
    ) -> None:
        super().__init__()
        self.v2, self.drop_prob = v2, drop_prob
        attention = ShiftedWindowAttentionV2 if v2 else ShiftedWindowAttention
        with self.init_scope():
            self.norm1 = LayerNormalization(channels)
            self.attn = attention(channels, n_heads, side, shift)
            self.norm2 = LayerNormalization(channels)
            self.mlp = IndexedSequential(
                Pointwise(channels, 4 * channels), gelu, identity, Pointwise(4 * channels, channels)
            )

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, channels, H, W) to (B, channels, H, W)."""
        for norm, part in ((self.norm1, self.attn), (self.norm2, self.mlp)):
            h = norm(part(x)) if self.v2 else part(norm(x))  # (B, C, H, W)
            x = x + stochastic_depth(h, self.drop_prob)
        return x  # (B, C, H, W)


class SwinTransformer(Classifier):
    """Four stages of blocks whose pixels attend within windows, merged by fours in between.

    The layers are ``features``, ``norm``, ``avgpool`` and ``head``; those of ``features`` can be picked as well, by the
    names torch gives them. Maps have their channels first, where torch has them last.

    Args:
        channels (int): Channels of the first stage; each further one has twice as many.
        n_blocks (sequence of int): Blocks of each stage.
        n_heads (sequence of int): Heads of each stage's attention.
        side (int): Of a window, in pixels.
        n_class (int): Class scores.
        v2 (bool): The second version.
        stochastic_depth_prob (float): Probability that a part of a block is left out of an image in training; it grows
            with the depth to this.

    Source:
        Liu et al. 2021; Liu et al. 2022; torchvision 0.14 ``SwinTransformer``.
    """

    def __init__(
        self,
        channels: int,
        n_blocks: Sequence[int],
        n_heads: Sequence[int],
        side: int,
        n_class: int = 1000,
        *,
        v2: bool = False,
        stochastic_depth_prob: float = 0.1,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        uniform = initializers.Uniform(1 / math.sqrt(3 * 4**2))
        patches = Convolution2D(3, channels, 4, stride=4, initialW=uniform, initial_bias=uniform)
        layers = [IndexedSequential(patches, identity, LayerNormalization(channels))]  # (B, channels, H/4, W/4)
        probabilities = iter(depth_probabilities(stochastic_depth_prob, sum(n_blocks)))
        for i, (n, heads) in enumerate(zip(n_blocks, n_heads, strict=True)):
            if i:
                layers.append(PatchMerging(channels, v2=v2))
                channels *= 2
            stage = [
                SwinTransformerBlock(channels, heads, side, (side // 2) * (k % 2), v2=v2, drop_prob=next(probabilities))
                for k in range(n)
            ]
            layers.append(IndexedSequential(*stage))
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, channels, H/32, W/32)
            self.norm = LayerNormalization(channels)
            self.avgpool = global_average  # (B, channels)
            self.head = Linear(channels, n_class, initialW=initializers.Normal(0.02))  # (B, n_class)
