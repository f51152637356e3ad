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

#: Bytes of transformed weights made at a time.
WEIGHT_BYTES = 1 << 20

#: What the kernels take at least: channels are their vectors.
MIN_CHANNELS = LANES

#: Below these the direct convolution was faster (AMD Zen 5, one thread): tiles for a result and for a weight gradient.
MIN_TILES, MIN_TILES_OF_WEIGHTS = 36, 25


#: Each transform, and how many vectors the arrays that it keeps have where a row has so many tiles.
_INPUTS = numba_winograd.transform_inputs, lambda n: 24 * n + 12, lambda n: 24 * n + 12
_PRODUCTS = numba_winograd.transform_products, lambda n: 24, lambda n: 16 * n, lambda n: 4 * n
_GRADIENTS = numba_winograd.transform_gradients, lambda n: 16 * n, lambda n: 24 * n


def pays(n_images: int, outsize: Size, *, of_weights: bool = False) -> bool:
    """Return whether there are enough tiles for the transforms, or those of a weight gradient, to pay off."""
    n_tiles = n_images * -(-outsize[0] // 4) * -(-outsize[1] // 4)
    return n_tiles >= (MIN_TILES_OF_WEIGHTS if of_weights else MIN_TILES)


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
    return _convolve(x, _transform_weights(W), pad, epilogue)


def input_gradient(gy: Array, W: Array, pad: Size) -> Array:
    """Run the transpose of ``forward`` in x, by a convolution with the turned weights."""
    weights = _transform_weights(W, turned=True)
    return _convolve(gy, weights, (2 - pad[0], 2 - pad[1]), nothing(gy.dtype))


def weight_gradient(x: Array, gy: Array, pad: Size) -> Array:
    """Run the transpose of ``forward`` in W: (B, C, H, W) and (B, O, outh, outw) to (O, C, 3, 3)."""
    n_out, n_in = gy.shape[1], x.shape[1]
    blocks = _Blocks(gy.shape, n_in)

    def multiply(own: tuple[Array, Array], begin: int, end: int) -> Array:
        tile_rows = begin, end
        tiles, gradients = blocks.share(own[0], (n_in, n_out), tile_rows)
        inputs = _INPUTS, (x, tile_rows, pad, *blocks.grid, tiles), n_in
        blocks.run(inputs, (_GRADIENTS, (gy, tile_rows, *blocks.grid, gradients), n_out))
        sums = own[1][:, : n_out * n_in].reshape(36, n_out, n_in)
        blocks.multiply(_flat(gradients).swapaxes(1, 2), _flat(tiles), sums)
        return own[1]

    sums = threads.add_up(multiply, blocks.ranges, lambda: (_room(blocks.size), _matrices(n_out * n_in)))
    gW = np.empty((n_out, n_in * 9), np.float32)
    tasks = [(sums, gW, *share) for share in threads.cut(n_out, sums.nbytes / WEIGHT_BYTES)]
    room = partial(_vectors, LANES, 18, -(-gW.shape[1] // LANES) + 1)
    threads.run(numba_winograd_weights.transform_sums, tasks, room)
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


def _transform_weights(W, *, turned=False):
    """Transform (O, C, 3, 3) to (36, C, O), or turned by 180 degrees to (36, O, C); threads share the rows."""
    n_rows, n_columns = W.shape[:2] if turned else W.shape[1::-1]
    weights = _matrices(n_rows * n_columns)
    given, shares = (W.reshape(*W.shape[:2], 9), turned, weights), threads.cut(n_rows, weights.nbytes / WEIGHT_BYTES)
    tasks = [(*given, *share) for share in shares]
    threads.run(numba_winograd_weights.transform_weights, tasks, partial(_vectors, LANES, 18))
    return weights[:, : n_rows * n_columns].reshape(36, n_rows, n_columns)


def _convolve(x, weights, pad, epilogue):
    """Convolve with transformed weights, (36, C, O)."""
    n_in, n_out = weights.shape[1:]
    y = np.empty((len(x), n_out, *(size + 2 * p - 2 for size, p in zip(x.shape[2:], pad, strict=True))), np.float32)
    blocks, after = _Blocks(y.shape, n_in), epilogue.of_images(slice(None), y)

    def multiply(buffer: Array, begin: int, end: int) -> None:
        tile_rows = begin, end
        tiles, products = blocks.share(buffer, (n_in, n_out), tile_rows)
        blocks.run((_INPUTS, (x, tile_rows, pad, *blocks.grid, tiles), n_in))
        blocks.multiply(_flat(tiles), weights, _flat(products))
        blocks.run((_PRODUCTS, (products, tile_rows, *blocks.grid, y, *after), n_out))

    threads.run(multiply, blocks.ranges, lambda: _room(blocks.size))
    return y


class _Blocks:
    """The rows of tiles of all images, cut into blocks of ``BLOCK_BYTES``, and as many as keep threads busy.

    Attributes:
        grid ((int, int)): Tiles of an image in a column and in a row.
        ranges (list of (int, int)): First row of tiles of each block, and last exclusive.
        size (int): How many numbers the transformed tiles of a block are at most.
        n_shares (float): In how many parts threads share each step of a block, where there is no other block.
    """

    def __init__(self, y_shape: tuple, n_in: int) -> None:
        n_images, n_out = y_shape[:2]
        n_rows, n_columns = self.grid = tuple(-(-size // 4) for size in y_shape[2:])
        row_numbers = 36 * (n_in + n_out) * n_columns
        least, most = BLOCK_BYTES
        n_blocks = n_images * n_rows * row_numbers * 4 / min(max(least, 3 * 4 * 36 * n_in * n_out), most)
        self.ranges = [(0, n_images * n_rows)] if n_blocks <= 1 else threads.cut(n_images * n_rows, n_blocks)
        longest = max(end - begin for begin, end in self.ranges)
        self.size = row_numbers * longest
        work = 36 * n_in * n_out * longest * n_columns / threads.SHARE
        self.n_shares = min(work, 4) if len(self.ranges) == 1 else 0

    def share(self, buffer: Array, n_channels: tuple[int, int], tile_rows: tuple[int, int]) -> list[Array]:
        """Cut (6, 6, tiles, channels) arrays from a buffer, one for each number of channels."""
        n_tiles = self.grid[1] * (tile_rows[1] - tile_rows[0])
        bounds = [0, *itertools.accumulate(36 * n * n_tiles for n in n_channels)]
        return [buffer[a:b].reshape(6, 6, n_tiles, -1) for a, b in itertools.pairwise(bounds)]

    def run(self, *transforms: tuple[tuple, tuple, int]) -> None:
        """Transform: each has a kernel and what it keeps, what it is given, and channels, which threads share."""

        def run(transform: tuple, given: tuple, begin: int, end: int) -> None:
            kernel, *n_vectors = transform
            kernel(_vectors(*(n(self.grid[1]) for n in n_vectors)), *given, begin, end)

        shares = [(*t[:2], *part) for t in transforms for part in threads.cut(-(-t[2] // LANES), self.n_shares)]
        threads.run(run, shares)

    def multiply(self, a: Array, b: Array, products: Array) -> None:
        """Multiply 36 pairs of matrices."""

        def multiply(begin: int, end: int) -> None:
            np.matmul(a[begin:end], b[begin:end], out=products[begin:end])

        threads.run(multiply, threads.cut(36, self.n_shares))


def _flat(tiles):
    """Merge the two axes of the positions in a tile."""
    return tiles.reshape(36, *tiles.shape[2:])
