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

#: Bytes of transformed tiles made at a time. Each block goes through all transformed weights, or sums of their
#: gradients: it must be large enough to be worth that, and small enough to stay in the cache.
BLOCK_BYTES = 16 << 20

#: Bytes of transformed weights made at a time.
WEIGHT_BYTES = 1 << 20

#: Below these the direct convolution was faster (AMD Zen 5, one thread); tiles for a result and for a weight gradient.
MIN_CHANNELS, MIN_TILES, MIN_TILES_OF_WEIGHTS = 16, 36, 25


def pays(n_images: int, n_out: int, n_in: int, outsize: Size, *, of_weights: bool = False) -> bool:
    """Return whether the transforms, or those of a weight gradient, pay off: enough channels, and enough tiles."""
    n_tiles = n_images * -(-outsize[0] // 4) * -(-outsize[1] // 4)
    return min(n_in, n_out) >= MIN_CHANNELS and n_tiles >= (MIN_TILES_OF_WEIGHTS if of_weights else MIN_TILES)


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
    n_columns, blocks, size = _blocks(len(x), gy.shape[2:], n_in + n_out)
    n_shares = _n_shares(blocks, 36 * n_out * n_in, size, n_in + n_out)

    def multiply(own: tuple[Array, Array], image: int, tile_rows: tuple[int, int]) -> Array:
        buffer, part = own
        tiles, gradients = _share(buffer, (n_in, n_out), n_columns, tile_rows)
        inputs = partial(numba_winograd.transform_inputs, x[image], tile_rows, pad, n_columns, tiles)
        threads.run(inputs, threads.cut(n_in, n_shares))
        outputs = partial(numba_winograd.transform_gradients, gy[image], tile_rows, n_columns, gradients)
        threads.run(outputs, threads.cut(n_out, n_shares))
        sums = part[:, : n_out * n_in].reshape(36, n_out, n_in)
        operands = _flat(gradients), _flat(tiles).swapaxes(1, 2), sums
        threads.run(partial(_multiply, *operands), threads.cut(36, n_shares))
        return part

    def make() -> tuple[Array, Array]:
        return np.empty(size, np.float32), _matrices(n_out * n_in)

    sums = threads.add_up(multiply, blocks, make)
    gW = np.empty((n_out, n_in * 9), np.float32)
    threads.run(
        partial(numba_winograd_weights.transform_sums, sums, gW), threads.cut(n_out, sums.nbytes / WEIGHT_BYTES)
    )
    return gW.reshape(n_out, n_in, 3, 3)


def _matrices(size):
    """Return room for 36 matrices, rows of an array: on lines of the cache, not a power of two apart, zeros between."""
    row = -(-size // LANES) * LANES + LANES
    room = np.empty(36 * row + LANES, np.float32)
    first = -room.ctypes.data // room.itemsize % LANES
    matrices = room[first : first + 36 * row].reshape(36, row)
    matrices[:, size:] = 0
    return matrices


def _transform_weights(W, *, turned=False):
    """Transform (O, C, 3, 3) to (36, O, C), or turned by 180 degrees to (36, C, O); threads share the rows."""
    n_rows, n_columns = W.shape[1::-1] if turned else W.shape[:2]
    width = max(n_columns, LANES)
    if width > n_columns:
        extra = (0, width - n_columns)
        W = np.pad(W, [extra if axis == (0 if turned else 1) else (0, 0) for axis in range(4)])
    weights = _matrices(n_rows * width)
    transform = partial(numba_winograd_weights.transform_weights, W.reshape(*W.shape[:2], 9), turned, weights)
    threads.run(transform, threads.cut(n_rows, weights.nbytes / WEIGHT_BYTES))
    return weights[:, : n_rows * width].reshape(36, n_rows, width)[:, :, :n_columns]


def _convolve(x, weights, pad, epilogue):
    """Convolve with transformed weights, (36, O, C)."""
    n_out, n_in = weights.shape[1:]
    y = np.empty((len(x), n_out, *(size + 2 * p - 2 for size, p in zip(x.shape[2:], pad, strict=True))), np.float32)
    n_columns, blocks, size = _blocks(len(x), y.shape[2:], n_in + n_out)
    n_shares = _n_shares(blocks, weights.size, size, n_in + n_out)

    def multiply(buffer: Array, image: int, tile_rows: tuple[int, int]) -> None:
        tiles, products = _share(buffer, (n_in, n_out), n_columns, tile_rows)
        given = x[image], tile_rows, pad, n_columns, tiles
        threads.run(partial(numba_winograd.transform_inputs, *given), threads.cut(n_in, n_shares))
        threads.run(partial(_multiply, weights, _flat(tiles), _flat(products)), threads.cut(36, n_shares))
        after = epilogue.of_image(image, y[image])
        given = products, tile_rows, n_columns, y[image], *after
        threads.run(partial(numba_winograd.transform_products, *given), threads.cut(n_out, n_shares))

    threads.run(multiply, blocks, lambda: np.empty(size, np.float32))
    return y


def _multiply(weights, tiles, products, begin, end):
    """Multiply some of the 36 matrices."""
    np.matmul(weights[begin:end], tiles[begin:end], out=products[begin:end])


def _blocks(n_images, outsize, n_channels):
    """Cut the rows of tiles of all images into blocks of at most ``BLOCK_BYTES``, and as many as keep threads busy.

    Returns:
        tuple: Tiles in a row; a list of images with their first row of tiles and last exclusive; how many numbers the
        transformed tiles of a block are at most.
    """
    n_rows, n_columns = (-(-size // 4) for size in outsize)
    row_numbers = 36 * n_channels * n_columns
    n_blocks = n_rows * row_numbers * 4 / BLOCK_BYTES
    ranges = [(0, n_rows)] if n_images == 1 and n_blocks <= 1 else threads.cut(n_rows, n_blocks)
    longest = max(end - begin for begin, end in ranges)
    return n_columns, list(itertools.product(range(n_images), ranges)), row_numbers * longest


def _n_shares(blocks, n_weights, size, n_channels):
    """Return in how many parts threads share each step of a block, where there is no other block."""
    return min(n_weights * (size / 36 / n_channels) / threads.SHARE, 4) if len(blocks) == 1 else 0


def _share(buffer, n_channels, n_columns, tile_rows):
    """Cut (6, 6, channels, tiles) arrays from a buffer, one for each number of channels."""
    n_tiles = n_columns * (tile_rows[1] - tile_rows[0])
    bounds = [0, *itertools.accumulate(36 * n * n_tiles for n in n_channels)]
    return [buffer[a:b].reshape(6, 6, -1, n_tiles) for a, b in itertools.pairwise(bounds)]


def _flat(tiles):
    """Merge the two axes of the positions in a tile."""
    return tiles.reshape(36, *tiles.shape[2:])
