"""Attention within windows of a map that are shifted from block to block, in the two versions of Swin Transformers.

Shape letters beside the others': W windows, T = side^2 pixels of one, D channels of a head.
"""

import functools
import math
from collections.abc import Callable

import chainer
import chainer.functions as F
import numpy as np
from chainer import initializers

from chainfpn._typing import Array, Variable
from chainfpn.functions import convolution_2d
from chainfpn.links.layers import IndexedSequential, Linear
from chainfpn.links.pointwise import Pointwise

#: What is added to the logits of two pixels that are no neighbours before the shift.
_APART = -100


def relative_index(side: int) -> Array:
    """Return a number for the offset between any two pixels of a window.

    Args:
        side (int): Pixels.

    Returns:
        array: int64, (T T,), in [0, (2 side - 1)^2).
    """
    rows, columns = np.indices((side, side)).reshape(2, -1)  # (T,), (T,)
    down, right = (axis[:, None] - axis + side - 1 for axis in (rows, columns))  # (T, T), (T, T)
    return (down * (2 * side - 1) + right).reshape(-1).astype(np.int64)


def relative_coordinates(side: int) -> Array:
    """Return the offsets between the pixels of a window on a logarithmic scale.

    Args:
        side (int): Pixels.

    Returns:
        array: float32, (1, 2 side - 1, 2 side - 1, 2).

    Source:
        Liu et al. 2022, equation 4; torchvision 0.14 ``ShiftedWindowAttentionV2``, which computes it in float32.
    """
    axis = np.arange(1 - side, side, dtype=np.float32) / np.float32(side - 1) * np.float32(8)
    table = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)[None]
    return np.sign(table) * np.log2(np.abs(table) + np.float32(1)) / np.float32(3)


@functools.lru_cache(maxsize=64)
def shift_mask(shape: tuple[int, int], side: int, shift: tuple[int, int], dtype: str, device: str) -> Array:
    """Make the mask of the pixels that meet in a window only because the map was rolled.

    Args:
        shape (pair of int): Height and width of the map, multiples of ``side``.
        side (int): Of a window, in pixels.
        shift (pair of int): By how many pixels it was rolled, up and to the left.
        dtype (str): Of the result.
        device (str): Where it is.

    Returns:
        array: (W, 1, T, T): 0 where two pixels are neighbours, else -100.
    """
    rows, columns = (
        np.repeat((0, 1, 2), (n - side, side - s, s)) if s else np.zeros(n, int)
        for n, s in zip(shape, shift, strict=True)
    )
    parts = (3 * rows[:, None] + columns).reshape(shape[0] // side, side, shape[1] // side, side)
    parts = parts.transpose(0, 2, 1, 3).reshape(-1, side**2)  # (W, T)
    mask = np.where(parts[:, None, :] == parts[:, :, None], 0, _APART)[:, None]
    return chainer.get_device(device).send(mask.astype(dtype))


def _roll(x, shift):
    """Move a map up and to the left; what leaves it comes in again."""
    for axis, s in zip((2, 3), shift, strict=True):
        if s:
            x = F.concat(F.split_axis(x, [s % x.shape[axis]], axis)[::-1], axis)
    return x


def _padded(x, below, right):
    return F.pad(x, ((0, 0), (0, 0), (0, below), (0, right)), "constant") if below or right else x


class ShiftedWindowAttention(chainer.Chain):
    """Self-attention of the pixels of a window, with a bias for each offset between two.

    The map is padded below and to the right to whole windows; where it has more than one, it is rolled by ``shift``.

    Args:
        channels (int): Channels in and out.
        n_heads (int): Heads, which share the channels.
        side (int): Of a window, in pixels.
        shift (int): How far the windows are shifted, down and to the right.

    Source:
        Liu et al. 2021, section 3.2; torchvision 0.14 ``ShiftedWindowAttention``.
    """

    def __init__(self, channels: int, n_heads: int, side: int, shift: int) -> None:
        super().__init__()
        self.n_heads, self.side, self.shift = n_heads, side, shift
        with self.init_scope():
            self.qkv = Pointwise(channels, 3 * channels)
            self.proj = Pointwise(channels, channels)
        self.add_persistent("relative_position_index", relative_index(side))
        self._init_positions()

    def _init_positions(self):
        with self.init_scope():
            shape = ((2 * self.side - 1) ** 2, self.n_heads)
            self.relative_position_bias_table = chainer.Parameter(initializers.Normal(0.02), shape)

    def position_bias(self) -> Variable:
        """Return what each offset adds to the logits, (n_heads, T, T)."""
        return self._at_offsets(self.relative_position_bias_table)

    def _at_offsets(self, table):
        n = self.side**2
        return F.transpose(F.reshape(table[self.relative_position_index], (n, n, self.n_heads)), (2, 0, 1))

    def project(self, x: Variable) -> Variable:
        """Compute queries, keys and values: (B, channels, H, W) to (B, 3 channels, H, W)."""
        return self.qkv(x)

    def logits(self, q: Variable, k: Variable) -> Variable:
        """Compare queries with keys: (B W, n_heads, T, D) both to (B W, n_heads, T, T)."""
        return F.matmul(q * q.shape[-1] ** -0.5, k, transb=True)

    def forward(self, x: Variable) -> Variable:
        """Attend: (B, channels, H, W) to (B, channels, H, W)."""
        n_images, _, height, width = x.shape
        x = _padded(x, -height % self.side, -width % self.side)
        sides = x.shape[2:]  # (no array, a shape)
        shift = tuple(self.shift if n > self.side else 0 for n in sides)  # (no array, two numbers)
        x = _roll(x, shift)
        q, k, v = self._windows(self.project(x))  # (B W, n_heads, T, D) each
        h = self.logits(q, k)  # (B W, n_heads, T, T)
        h += F.broadcast_to(self.position_bias(), h.shape)  # (B W, n_heads, T, T)
        if any(shift):
            mask = shift_mask(sides, self.side, shift, h.dtype.str, self.device.name)  # (W, 1, T, T)
            split = (n_images, -1, *h.shape[1:])  # (no array, a shape)
            h = F.reshape(F.reshape(h, split) + mask, h.shape)
        h = F.matmul(F.softmax(h, axis=-1), v)  # (B W, n_heads, T, D)
        h = _roll(self.proj(self._whole(h, x.shape)), [-s for s in shift])  # (B, channels, H + below, W + right)
        return h[:, :, :height, :width] if sides != (height, width) else h  # (B, channels, H, W)

    def _windows(self, x):
        """Cut queries, keys and values, (B, 3 C, H, W), into windows and heads."""
        n_images, channels, height, width = x.shape
        down, right = height // self.side, width // self.side
        depth = channels // (3 * self.n_heads)
        x = F.reshape(x, (n_images, 3, self.n_heads, depth, down, self.side, right, self.side))
        x = F.transpose(x, (1, 0, 4, 6, 2, 5, 7, 3))  # (3, B, down, right, n_heads, side, side, D)
        x = F.reshape(x, (3, -1, self.n_heads, self.side**2, depth))
        return x[0], x[1], x[2]

    def _whole(self, h, shape):
        """Put windows and heads, (B W, n_heads, T, D), together again to a map."""
        n_images, _, height, width = shape
        h = F.reshape(h, (n_images, height // self.side, width // self.side, self.n_heads, self.side, self.side, -1))
        return F.reshape(F.transpose(h, (0, 3, 6, 1, 4, 2, 5)), shape)


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """The same with the cosines of queries and keys, and a small network that gives the bias of an offset.

    Args:
        channels, n_heads, side, shift: See :class:`ShiftedWindowAttention`.

    Source:
        Liu et al. 2022, sections 3.3 and 3.4; torchvision 0.14 ``ShiftedWindowAttentionV2``.
    """

    def _init_positions(self):
        dtype = chainer.get_dtype(map_mixed16=np.float32)
        self.add_persistent("relative_coords_table", relative_coordinates(self.side).astype(dtype))
        normal: Callable = initializers.Normal(0.02)
        with self.init_scope():
            self.logit_scale = chainer.Parameter(math.log(10), (self.n_heads, 1, 1))
            self.cpb_mlp = IndexedSequential(
                Linear(2, 512, initialW=normal), F.relu, Linear(512, self.n_heads, nobias=True, initialW=normal)
            )

    def position_bias(self) -> Variable:
        """Return what each offset adds to the logits, (n_heads, T, T)."""
        table = self.relative_coords_table.reshape(-1, 2).astype(self.logit_scale.dtype, copy=False)
        return 16 * F.sigmoid(self._at_offsets(self.cpb_mlp(table)))

    def project(self, x: Variable) -> Variable:
        """Run :meth:`ShiftedWindowAttention.project`, but keys have no bias, whatever the weights say."""
        b = self.qkv.b
        kept = self.xp.repeat(self.xp.asarray([1, 0, 1], b.dtype), b.size // 3)
        return convolution_2d(x, F.reshape(self.qkv.W, (*self.qkv.W.shape, 1, 1)), b * kept)

    def logits(self, q: Variable, k: Variable) -> Variable:
        """Compare the directions of queries and keys: (B W, n_heads, T, D) both to (B W, n_heads, T, T)."""
        scale = F.exp(F.clip(self.logit_scale, None, math.log(100)))
        return F.matmul(_direction(q), _direction(k), transb=True) * scale


def _direction(x):
    """Divide vectors by their lengths; those of no length stay as they are."""
    least = max(1e-24, float(np.finfo(x.dtype).tiny))
    return x / F.sqrt(F.clip(F.sum(x * x, axis=-1, keepdims=True), least, None))
