"""Pieces shared by the compiled CPU kernels.

A kernel works on one image and one block of ``LANES`` channels: the part of the map that the RoIs touch is copied to a
buffer (row, column, lane) that stays in the cache, where the channels of a pixel are one vector. Numba caches kernels,
keyed by the file of the kernel: touch those files after a change here.
"""

import contextlib
import gc
import os
from typing import NamedTuple

import numba
import numpy as np
from numba.core import caching, cgutils, event, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from chainfpn._typing import Array
from chainfpn.functions.kernels.numba_lanes import LANES, transpose

#: Bytes.
CACHE_LINE = 64

#: For arguments of kernels: a plain 0 is a type of its own to Numba, for which it compiles the callee once more.
ZERO = np.int64(0)


class Workspace(NamedTuple):
    """What a thread keeps for itself.

    Attributes:
        buffer (array): The window of a block of channels, see above.
        line (array): As many vectors as the map has columns.
        cells (array): A vector for each bin.
        line_places, places (array): int32, for each number of ``line`` and of ``cells`` a pixel of the map.
    """

    buffer: Array
    line: Array
    cells: Array
    line_places: Array
    places: Array


class _WithoutCollections(event.Listener):
    """Lets no garbage be collected while a kernel of ours is compiled, of which that took a tenth of the time."""

    def __init__(self) -> None:
        self.were_enabled: list[bool] = []  # of a kernel, and of those that it calls; all of it holds Numba's lock

    def on_start(self, event: event.Event) -> None:
        if _is_ours(event):
            self.were_enabled.append(gc.isenabled())
            gc.disable()

    def on_end(self, event: event.Event) -> None:
        if _is_ours(event) and self.were_enabled.pop():
            gc.enable()


def _is_ours(event):
    return str(event.data["dispatcher"].py_func.__module__).startswith(__package__)


event.register("numba:compile", _WithoutCollections())


class _Cache(caching.FunctionCache):
    """Numba's, which is never why a kernel does not run: what cannot be read is compiled, and kept if that can be."""

    def load_overload(self, *args):
        try:
            return super().load_overload(*args)
        except Exception:  # whatever the pickle of a file is that a full disk or a crash has cut off
            self._forget()

    def save_overload(self, *args):
        try:
            super().save_overload(*args)
        except Exception:
            self._forget()

    def _forget(self):
        """Remove the index, which may name files that were never written, or are of older code."""
        with contextlib.suppress(OSError):
            os.unlink(self._cache_file._index_path)


def _can_cache():
    """Return whether Numba finds a folder to keep compiled kernels in: beside them, or the user's cache."""
    try:
        _Cache(_can_cache)
    except RuntimeError:
        return False
    return True


_CAN_CACHE = _can_cache()


def _compiled(**options):
    """Return a decorator of kernels, with options of Numba beside those of all."""

    def decorate(function):
        kernel = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
        if _CAN_CACHE:
            kernel._cache = _Cache(function)
        return kernel

    return decorate


#: Sums may be reordered and fused; NaN and infinity keep their meaning.
_ARITHMETIC = {"contract", "reassoc", "nsz"}
arithmetic = _compiled(fastmath=_ARITHMETIC)

#: Exactly the operations that are written: for geometry, where a last bit moves a sample over a border. (Left out, the
#: option would be inherited from the calling kernel.)
exact = _compiled(fastmath=False)

#: The same for what only other kernels call: without the code that Python would call it by, half is compiled.
inner_arithmetic = _compiled(fastmath=_ARITHMETIC, no_cpython_wrapper=True)
inner_exact = _compiled(fastmath=False, no_cpython_wrapper=True)


def _take_if(operator, b, a):
    """Return the result type, and what generates ``b if b operator a else a`` of two numbers of one type."""

    def generate(context, builder, signature, args):
        compare = builder.fcmp_ordered if isinstance(a, types.Float) else builder.icmp_signed
        return builder.select(compare(operator, args[1], args[0]), args[1], args[0])

    return (a(a, b), generate) if a == b else None


@intrinsic
def smaller(_, a, b):
    """Return ``min(a, b)``, which Numba compiles anew in every kernel."""
    return _take_if("<", b, a)


@intrinsic
def larger(_, a, b):
    """Return ``max(a, b)``, likewise."""
    return _take_if(">", b, a)


@intrinsic
def flat(_, array):
    """Return the numbers of a C-contiguous array as a line, without copying: ``reshape`` takes ten times to compile."""
    line = array.copy(ndim=1)

    def generate(context, builder, signature, args):
        whole, out = context.make_array(array)(context, builder, args[0]), context.make_array(line)(context, builder)
        for field in ("data", "nitems", "itemsize", "meminfo", "parent"):
            setattr(out, field, getattr(whole, field))
        out.shape = cgutils.pack_array(builder, [whole.nitems])
        out.strides = cgutils.pack_array(builder, [whole.itemsize])
        return impl_ret_borrowed(context, builder, line, out._getvalue())

    return (line(array), generate) if array.layout == "C" else None


def aligned(size: int, dtype: np.dtype) -> Array:
    """Make an array that begins with a line of the cache: a vector that lies across two takes twice the time."""
    size *= np.dtype(dtype).itemsize
    room = np.empty(size + CACHE_LINE, np.uint8)
    begin = -room.ctypes.data % CACHE_LINE
    return room[begin : begin + size].view(dtype)


@inner_exact
def copy(source, target):
    """Copy a line: for ``target[:] = source`` Numba compiles what formats an error, for two seconds."""
    for k in range(target.size):
        target[k] = source[k]


@inner_exact
def copy_transposed(source, at, step, n_lines, n, target, to, to_step):
    """Set ``target[to + j * to_step + i]`` to ``source[at + i * step + j]`` for i below ``n_lines`` and j below n.

    It is compiled for a step that is ``LANES`` itself, and for any number.
    """
    if n_lines >= LANES and n >= LANES:
        for i in range(0, n_lines, LANES):
            for j in range(0, n, LANES):
                line, place = smaller(i, n_lines - LANES), smaller(j, n - LANES)  # the last ones overlap those before
                transpose(source, at + line * step + place, step, target, to + place * to_step + line, to_step)
        return
    for i in range(n_lines):
        for j in range(n):
            target[to + j * to_step + i] = source[at + i * step + j]


@inner_exact
def pack(x, first, window, buffer):
    """Copy ``x[first:first + LANES]`` (channel, row, column) within the window to a buffer (row, column, lane)."""
    y0, y1, x0, x1 = window
    n_channels, height, width = x.shape
    n_lanes, plane, lanes, source = n_channels - first, height * width, np.int64(LANES), flat(x)
    if n_lanes < LANES:
        for k in range((y1 - y0) * (x1 - x0) * LANES):
            buffer[k] = 0
    for y in range(y0, y1):
        at, to = first * plane + y * width + x0, (y - y0) * (x1 - x0) * LANES
        copy_transposed(source, at, plane, smaller(lanes, n_lanes), x1 - x0, buffer, to, LANES)


@inner_exact
def unpack(buffer, window, first, x):
    """Fill ``x[first:first + LANES]`` from the buffer within the window, with zeros outside it."""
    y0, y1, x0, x1 = window
    lanes, plane, target = np.int64(LANES), x.shape[1] * x.shape[2], flat(x)
    n_lanes = smaller(lanes, x.shape[0] - first)
    for outside in x[first : first + n_lanes]:
        outside[:y0], outside[y1:], outside[y0:y1, :x0], outside[y0:y1, x1:] = 0, 0, 0, 0
    for y in range(y0, y1):
        at, to = (y - y0) * (x1 - x0) * LANES, first * plane + y * x.shape[2] + x0
        copy_transposed(buffer, at, LANES, x1 - x0, n_lanes, target, to, plane)


@inner_exact
def unpack_bins(cells, r, first, y):
    """Write ``cells`` (bin, lane) to as many of ``y[r, first:first + LANES]`` (channel, bin) as there are."""
    _, n_channels, n_bins = y.shape
    lanes, at = np.int64(LANES), (r * n_channels + first) * n_bins
    copy_transposed(cells, ZERO, LANES, n_bins, smaller(lanes, n_channels - first), flat(y), at, n_bins)
