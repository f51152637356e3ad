"""roi_align and roi_pool on CuPy arrays, by the CUDA code of this folder: on maps packed by pyramid.cu."""

import math

import chainer
import numpy as np
from chainer import backend

from chainfpn._typing import Array
from chainfpn.functions.kernels import compute_dtype, geometry
from chainfpn.functions.kernels.cuda_launch import (
    NO_ARRAY,
    constant,
    index,
    launch,
    launch_each,
    on_its_device,
    real,
    shared_bytes_per_multiprocessor,
)

#: Shared memory that CUDA takes of a block's for itself.
RESERVED_BYTES = 1024


def _levels(shapes):
    """Yield each level's number, the arguments that say how large it is, its first pixel, and its number of tiles."""
    first = 0
    for level, (n_images, channels, height, width) in enumerate(shapes):
        tiles = n_images * math.prod(-(-side // constant("LANES")) for side in (channels, height * width))
        yield level, (index(n_images), index(channels), np.int32(height), np.int32(width)), np.int64(first), tiles
        first += n_images * height * width


def _pack(xs, scales):
    """Put the channels of each pixel together; return all levels in one array, and the table of them."""
    xp, x = backend.get_array_module(*xs), xs[0]
    packed, table = xp.empty(sum(x.size for x in xs), x.dtype), xp.empty((len(xs), constant("FACTS")), np.float64)
    for level, sizes, first, tiles in _levels([x.shape for x in xs]):
        x = xp.ascontiguousarray(xs[level])
        launch("pack_level", x, tiles, x, *sizes, np.int32(level), first, np.float64(scales[level]), packed, table)
    return packed, table


def _n_tasks(p, channels, bins):
    """Count the blocks of threads, each of which takes some channels and some bins of a RoI."""
    return len(p.rois) * -(-channels // constant("TOGETHER")) * -(-math.prod(p.outsize) // bins)


def _sampling(p, pyramid):
    """List the arguments that lay the samples and choose the levels."""
    flags = real(0.5 if p.half_pixel else 0), np.int32(p.at_least_one), np.int32(p.sampling_ratio)
    return *map(np.int32, p.outsize), *flags, *map(real, pyramid.rule)


@on_its_device
def pyramid_align_forward(xs: list[Array], p: geometry.RoIs, pyramid: geometry.Pyramid) -> Array:
    """Run multi_scale_roi_align: see ``cpu_ops.pyramid_align_forward``; nothing goes to the host."""
    packed, table = _pack(xs, pyramid.scales)
    x, channels, bins = xs[0], xs[0].shape[1], constant("BINS")
    y = backend.get_array_module(x).empty((len(p.rois), channels, *p.outsize), x.dtype)
    n_tasks = _n_tasks(p, channels, bins)
    rois = (np.int32(len(xs)), p.rois, p.roi_indices, index(len(x)), index(n_tasks), index(channels))
    n_bytes, room = room_of_patches(x, x.itemsize)
    sampling = *_sampling(p, pyramid), np.int32(room)
    launch("align_forward", x, n_tasks, packed, table, *rois, *sampling, y, shared_bytes=n_bytes)
    return y


def room_of_patches(x: Array, itemsize: int) -> tuple[int, int]:
    """Return what shared memory ``align_forward`` and ``align_backward`` are given.

    As much as leaves room on a multiprocessor for all the blocks that its registers leave room for.

    Args:
        x (array): On the device, of the dtype of the maps.
        itemsize (int): Bytes of a number of a patch.

    Returns:
        tuple of int: Bytes for what is staged and for a patch, and the pixels of a patch there is room for.
    """
    wide = compute_dtype(x.dtype).itemsize
    staged = constant("TOGETHER") * (constant("BINS") + 1) * wide
    named = 2 * (constant("MOST_TAPS") * 2 * wide + constant("MOST_BINS") * 4) + 32  # the taps, and what a patch is
    a_block = shared_bytes_per_multiprocessor(x) // (2 if wide > 4 else 4) - RESERVED_BYTES  # OCCUPANCY of common.cu
    n_bytes = max(staged, min(constant("SHARED_BYTES"), a_block) - named)
    return n_bytes, (n_bytes - staged // 2) // (constant("LANES") * itemsize)


@on_its_device
def pyramid_align_backward(gy: Array, p: geometry.RoIs, pyramid: geometry.Pyramid, shapes: list) -> list[Array]:
    """Run the transpose: gather where the order of sums must not vary, else add atomically."""
    xp = backend.get_array_module(gy)
    n_images, channels = shapes[0][:2]
    gy, n_levels = xp.ascontiguousarray(gy), np.int32(len(shapes))
    packed = xp.empty(sum(map(math.prod, shapes)), compute_dtype(gy.dtype))
    table = xp.empty((len(shapes), constant("FACTS")), np.float64)
    for level, sizes, first, _ in _levels(shapes):
        n = math.prod(shapes[level])
        launch_each(
            "clear_level", gy, n, *sizes, np.int32(level), first, np.float64(pyramid.scales[level]), packed, table
        )
    if chainer.config.cudnn_deterministic:
        _gather(gy, p, pyramid, shapes, packed, table)
    else:
        n_tasks = _n_tasks(p, channels, constant("BINS"))
        rois = (n_levels, p.rois, p.roi_indices, index(n_images), index(n_tasks), index(channels))
        n_bytes, room = room_of_patches(gy, packed.itemsize)
        sampling = *_sampling(p, pyramid), np.int32(room)
        launch("align_backward", gy, n_tasks, gy, table, *rois, *sampling, packed, shared_bytes=n_bytes)
    gxs = [xp.empty(shape, gy.dtype) for shape in shapes]
    for level, sizes, first, tiles in _levels(shapes):
        launch("unpack_level", gy, tiles, packed, *sizes, first, gxs[level])
    return gxs


def _gather(gy, p, pyramid, shapes, packed, table):
    """Fill the levels of ``packed``, a block for each tile of pixels and some channels."""
    n_images, channels = shapes[0][:2]
    gy = _pack([gy], [1.0])[0]
    order = by_image(p, n_images)
    for level, shape in enumerate(shapes):
        tiles = math.prod(-(-side // constant("SIDE")) for side in shape[2:])
        n_tasks = n_images * -(-channels // constant("TOGETHER")) * tiles
        rois = (np.int32(len(shapes)), p.rois, *order, np.int32(level), index(n_tasks), index(channels))
        launch("align_gather", gy, n_tasks, gy, table, *rois, *_sampling(p, pyramid), packed)


def by_image(p: geometry.RoIs, n_images: int) -> tuple[Array, Array]:
    """Sort the RoIs by image, and find where each image's begin and end: two int32 arrays."""
    xp = backend.get_array_module(p.rois)
    order = xp.argsort(p.roi_indices, kind="stable")
    ends = xp.searchsorted(p.roi_indices[order], xp.arange(n_images + 1, dtype=np.int32))
    return order.astype(np.int32), ends.astype(np.int32)


def align_forward(x: Array, p: geometry.RoIs) -> Array:
    """Run roi_align: see ``cpu_ops.align_forward``."""
    return pyramid_align_forward([x], p, geometry.Pyramid((p.spatial_scale,)))


def align_backward(gy: Array, p: geometry.RoIs, x_shape: tuple) -> Array:
    """Run the transpose of ``align_forward``."""
    return pyramid_align_backward(gy, p, geometry.Pyramid((p.spatial_scale,)), [x_shape])[0]


@on_its_device
def pool_forward(x: Array, p: geometry.RoIs) -> tuple[Array, Array | None]:
    """Run roi_pool: see ``cpu_ops.pool_forward``; pixels only if there is a gradient."""
    xp, channels = backend.get_array_module(x), x.shape[1]
    packed, table = _pack([x], [p.spatial_scale])
    shape = (len(p.rois), channels, *p.outsize)
    y, argmax = xp.empty(shape, x.dtype), xp.empty(shape, np.int32) if p.learns else None
    n_tasks = _n_tasks(p, channels, constant("POOL_BINS"))
    sizes = (index(len(x)), index(n_tasks), index(channels), *map(np.int32, p.outsize))
    lowest = real(float(np.finfo(x.dtype).min))
    places = NO_ARRAY if argmax is None else argmax
    launch("pool_forward", x, n_tasks, packed, table, p.rois, p.roi_indices, *sizes, lowest, y, places)
    return y, argmax
