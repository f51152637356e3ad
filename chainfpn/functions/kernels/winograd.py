"""3x3 convolution with stride 1 by Winograd's algorithm: a quarter of the multiplications.

With F(4x4, 3x3) every tile of 4 x 4 outputs takes 36 products per pair of channels instead of 144; see
``numba_winograd`` for the transforms. Everything is float32; errors are about 1e-6 of the largest output, where a plain
sum of products has 2e-7.
"""

import itertools
from functools import partial

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import numba_winograd, numba_winograd_weights, threads
from chainfpn.functions.kernels.epilogue import Epilogue, nothing
from chainfpn.functions.kernels.numba_lanes import LANES

#: Bytes of transformed tiles made at a time, at least and at most: in between three times those of the transformed
#: weights, all of which each block goes through; the fewer, the more of them stays in the cache.
BLOCK_BYTES = 3 << 20, 32 << 20

#: Bytes of transformed weights that are a share of the work, and those of a part of the output channels.
WEIGHT_BYTES, PART_BYTES = 1 << 20, 3 << 20

#: Numbers of a transformed map, at one of the 36 positions, that each part is multiplied by: they stay in the cache.
MOST_IN_PARTS = 36 << 10

#: What the kernels take at least: channels are their vectors.
MIN_CHANNELS = LANES

#: Tiles below which the direct convolution was faster (AMD Zen 5).
MIN_TILES = 9

#: Each transform, and how many vectors the arrays that it keeps have where a row has so many tiles.
_INPUTS = numba_winograd.transform_inputs, lambda n: 24 * n + 12, lambda n: 24 * n + 12
_PRODUCTS = numba_winograd.transform_products, lambda n: 24, lambda n: 16 * n, lambda n: 4 * n
_GRADIENTS = numba_winograd.transform_gradients, lambda n: 16 * n, lambda n: 24 * n


def pays(n_images: int, outsize: Size) -> bool:
    """Return whether there are enough tiles for the transforms to pay off."""
    return n_images * -(-outsize[0] // 4) * -(-outsize[1] // 4) >= MIN_TILES


def forward(x: Array, W: Array, pad: Size, epilogue: Epilogue) -> Array:
    """Convolve.

    Args:
        x (array): float32, (B, C, H, W), C-contiguous.
        W (array): float32, (O, C, 3, 3).
        pad ((int, int)): Zeros around the image, rows and columns.
        epilogue (Epilogue): What follows.

    Returns:
        array: float32, (B, O, H + 2 * pad - 2, W + 2 * pad - 2).
    """
    return _convolve(x, W, pad, epilogue, turned=False)


def input_gradient(gy: Array, W: Array, pad: Size) -> Array:
    """Run the transpose of ``forward`` in x, by a convolution with the turned weights."""
    return _convolve(gy, W, (2 - pad[0], 2 - pad[1]), nothing(gy.dtype), turned=True)


def weight_gradient(x: Array, gy: Array, pad: Size) -> Array:
    """Run the transpose of ``forward`` in W: (B, C, H, W) and (B, O, outh, outw) to (O, C, 3, 3)."""
    n_out, n_in = gy.shape[1], x.shape[1]
    blocks = _Blocks(gy.shape, n_in)
    gW = np.empty((n_out, n_in * 9), np.float32)
    back, n_vectors = numba_winograd_weights.transform_sums, (LANES, 18, -(-gW.shape[1] // LANES) + 1)

    def transform(buffer: Array, *tile_rows: int) -> list[Array]:
        tiles, gradients = blocks.share(buffer, (n_in, n_out), tile_rows)
        inputs = _INPUTS, (x, tile_rows, pad, *blocks.grid, tiles), n_in
        blocks.run(inputs, (_GRADIENTS, (gy, tile_rows, *blocks.grid, gradients), n_out))
        return [_flat(tiles), _flat(gradients).swapaxes(1, 2)]

    def block(own: tuple[Array, Array], *tile_rows: int) -> Array:
        tiles, gradients = transform(own[0], *tile_rows)
        blocks.multiply(gradients, tiles, _view(own[1], n_out, n_in))
        return own[1]

    def part(own: tuple[Array, tuple], begin: int, end: int) -> None:
        sums, room = own
        np.matmul(gradients[:, begin:end], tiles, out=_view(sums, end - begin, n_in))
        back(room, sums, gW[begin:end], 0, end - begin)

    if blocks.parts:
        tiles, gradients = transform(_room(blocks.size), *blocks.ranges[0])
        threads.run(part, blocks.parts, lambda: (_matrices(blocks.width * n_in), _vectors(*n_vectors)))
    else:
        sums = threads.add_up(block, blocks.ranges, lambda: (_room(blocks.size), _matrices(n_out * n_in)))
        tasks = [(sums, gW, *share) for share in threads.cut(n_out, sums.nbytes / WEIGHT_BYTES)]
        threads.run(back, tasks, partial(_vectors, *n_vectors))
    return gW.reshape(n_out, n_in, 3, 3)


def _room(size):
    """Return room for numbers that begins on a line of the cache, as LANES numbers are."""
    room = np.empty(size + LANES, np.float32)
    first = -room.ctypes.data // room.itemsize % LANES
    return room[first : first + size]


def _vectors(*n_vectors):
    """Return room for so many vectors in each array; the first holds zeros."""
    rooms = tuple(_room(n * LANES) for n in n_vectors)
    rooms[0][:] = 0
    return rooms


def _matrices(size):
    """Return room for 36 matrices, rows of an array: on lines of the cache, not a power of two apart, zeros between."""
    row = -(-size // LANES) * LANES + LANES
    matrices = _room(36 * row).reshape(36, row)
    matrices[:, size:] = 0
    return matrices


def _view(matrices, n_rows, n_columns):
    """Return 36 matrices of a shape in such room."""
    return matrices[:, : n_rows * n_columns].reshape(36, n_rows, n_columns)


def _convolve(x, W, pad, epilogue, *, turned):
    """Convolve with weights (O, C, 3, 3), or with (C, O, 3, 3) turned by 180 degrees."""
    n_out, n_in = W.shape[1::-1] if turned else W.shape[:2]
    y = np.empty((len(x), n_out, *(size + 2 * p - 2 for size, p in zip(x.shape[2:], pad, strict=True))), np.float32)
    blocks, after = _Blocks(y.shape, n_in), epilogue.of_images(slice(None), y)
    given = W.reshape(*W.shape[:2], 9), turned

    def transform(tiles: Array, *tile_rows: int) -> None:
        blocks.run((_INPUTS, (x, tile_rows, pad, *blocks.grid, tiles), n_in))

    def block(buffer: Array, *tile_rows: int) -> None:
        tiles, products = blocks.share(buffer, (n_in, n_out), tile_rows)
        transform(tiles, *tile_rows)
        blocks.multiply(_flat(tiles), _view(weights, n_in, n_out), _flat(products))
        blocks.run((_PRODUCTS, (products, 0, tile_rows, *blocks.grid, y, *after), n_out))

    def part(own: tuple[Array, Array, tuple], begin: int, end: int) -> None:
        weights, buffer, room = own
        (products,) = blocks.share(buffer, (end - begin,), blocks.ranges[0])
        numba_winograd_weights.transform_weights(room, *given, (begin, end), weights, 0, n_in)
        np.matmul(_flat(tiles), _view(weights, n_in, end - begin), out=_flat(products))
        blocks.transform(_PRODUCTS, (products, begin, blocks.ranges[0], *blocks.grid, y, *after), begin, end)

    if blocks.parts:
        (tiles,) = blocks.share(_room(blocks.size), (n_in,), blocks.ranges[0])
        transform(tiles, *blocks.ranges[0])
        rooms = n_in * blocks.width, blocks.size
        threads.run(part, blocks.parts, lambda: (_matrices(rooms[0]), _room(rooms[1]), _vectors(LANES, 18)))
    else:
        weights = _matrices(n_in * n_out)
        rows = threads.cut(n_in, weights.nbytes / WEIGHT_BYTES)
        tasks = [(*given, (0, n_out), weights, *share) for share in rows]
        threads.run(numba_winograd_weights.transform_weights, tasks, partial(_vectors, LANES, 18))
        threads.run(block, blocks.ranges, lambda: _room(blocks.size))
    return y


class _Blocks:
    """The rows of tiles of all images, cut into blocks of ``BLOCK_BYTES``, and as many as keep threads busy.

    Where the only block is small, threads share the output channels: what belongs to some of them, from the transformed
    weights on, stays in the cache of a core.

    Attributes:
        grid ((int, int)): Tiles of an image in a column and in a row.
        ranges (list of (int, int)): First row of tiles of each block, and last exclusive.
        parts (list of (int, int)): First output channel of each part of a small block, and last exclusive.
        width (int): Output channels of a part at most.
        size (int): How many numbers the transformed tiles of a block are at most.
        n_shares (float): In how many parts threads share each step of the only block.
    """

    def __init__(self, y_shape: tuple, n_in: int) -> None:
        n_images, n_out = y_shape[:2]
        n_rows, n_columns = self.grid = tuple(-(-size // 4) for size in y_shape[2:])
        row_numbers, weights = 36 * (n_in + n_out) * n_columns, 36 * n_in * n_out
        least, most = BLOCK_BYTES
        n_blocks = n_images * n_rows * row_numbers * 4 / min(max(least, 3 * 4 * weights), most)
        self.ranges = [(0, n_images * n_rows)] if n_blocks <= 1 else threads.cut(n_images * n_rows, n_blocks)
        longest = max(end - begin for begin, end in self.ranges)
        self.size = row_numbers * longest
        n_tiles, is_one = longest * n_columns, len(self.ranges) == 1
        self.n_shares = min(weights * n_tiles / threads.SHARE, 4) if is_one else 0
        is_small = is_one and n_tiles * n_in <= MOST_IN_PARTS
        self.parts = _channels(n_out, max(self.n_shares, 4 * weights / PART_BYTES)) if is_small else []
        self.width = max((end - begin for begin, end in self.parts), default=0)

    def share(self, buffer: Array, n_channels: tuple[int, ...], tile_rows: tuple[int, ...]) -> list[Array]:
        """Cut (6, 6, tiles, channels) arrays from a buffer, one for each number of channels."""
        n_tiles = self.grid[1] * (tile_rows[1] - tile_rows[0])
        bounds = [0, *itertools.accumulate(36 * n * n_tiles for n in n_channels)]
        return [buffer[a:b].reshape(6, 6, n_tiles, -1) for a, b in itertools.pairwise(bounds)]

    def run(self, *transforms: tuple[tuple, tuple, int]) -> None:
        """Transform: each has a kernel and what it keeps, what it is given, and channels, which threads share."""
        shares = [(*t[:2], *part) for t in transforms for part in _channels(t[2], self.n_shares)]
        threads.run(self.transform, shares)

    def transform(self, transform: tuple, given: tuple, begin: int, end: int) -> None:
        """Transform some channels."""
        kernel, *n_vectors = transform
        kernel(_vectors(*(n(self.grid[1]) for n in n_vectors)), *given, begin, end)

    def multiply(self, a: Array, b: Array, products: Array) -> None:
        """Multiply 36 pairs of matrices."""

        def multiply(begin: int, end: int) -> None:
            np.matmul(a[begin:end], b[begin:end], out=products[begin:end])

        threads.run(multiply, threads.cut(36, self.n_shares))


def _channels(n, n_parts):
    """Cut channels into ranges of whole vectors, the last of which may be longer."""
    n_vectors = n // LANES
    return [(LANES * a, n if b == n_vectors else LANES * b) for a, b in threads.cut(n_vectors, n_parts)]


def _flat(tiles):
    """Merge the two axes of the positions in a tile."""
    return tiles.reshape(36, *tiles.shape[2:])
