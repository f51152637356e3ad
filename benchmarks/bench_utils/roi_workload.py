"""The RoIs, boxes and operators that the benchmark of RoI operators runs."""

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import chainfpn  # noqa: F401  # isort: skip
import chainer
import chainer.functions as F
import numpy as np
from chainercv import functions as chainercv_functions

from bench_utils.machine import Machine
from chainfpn import functions
from chainfpn._typing import Array

#: Options of an operator, as torchvision names them.
Options: TypeAlias = dict[str, Any]
#: Two functions: the forward pass, and forward and backward.
Passes: TypeAlias = tuple[Callable[[], object], Callable[[], object]]

N_ROIS = 1000
MAP = (200, 272)
SCALE = 1 / 4
N_FEW = 4
#: Maps that take turns on a GPU, so that none is left in its cache.
N_MAPS = 4

#: (name, bins per side, channels, options), as torchvision names them.
OPS: tuple[tuple[str, int, int, Options], ...] = (
    ("roi_align", 7, 256, {"sampling_ratio": 2}),
    ("roi_align", 7, 256, {"sampling_ratio": 0}),
    ("roi_align", 14, 256, {"sampling_ratio": 2}),
    ("roi_pool", 7, 256, {}),
    ("ps_roi_align", 7, 490, {"sampling_ratio": 2}),
    ("ps_roi_align", 7, 490, {"sampling_ratio": 0}),
    ("ps_roi_pool", 7, 490, {}),
)


def make_rois(n: int) -> Array:
    """Return RoIs of all sizes within the image, yxyx."""
    rng = np.random.RandomState(0)
    sides = np.exp(rng.uniform(np.log(16), np.log(512), (n, 2)))
    image = np.array(MAP) / SCALE
    centres = rng.uniform(0, 1, (n, 2)) * image
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return np.clip(corners, 0, np.tile(image, 2)).astype(np.float32)


def make_boxes(n: int) -> tuple[Array, Array]:
    """Return boxes in heaps, as a detector proposes them, and scores; the image grows with their number."""
    rng = np.random.RandomState(0)
    image = 40 * np.sqrt(n)
    centres = rng.uniform(0, image, (n // 10, 2)).repeat(10, axis=0) + rng.normal(0, 6, (n, 2))
    sides = np.exp(rng.uniform(np.log(20), np.log(200), (n // 10, 2))).repeat(10, axis=0) * rng.uniform(
        0.8, 1.2, (n, 2)
    )
    bbox = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return bbox.astype(np.float32), rng.uniform(0, 1, n).astype(np.float32)


def our_runs(machine: Machine, name: str, bins: int, channels: int, options: Options, rois: Array) -> Passes:
    """Return functions that run our operator forward, and forward and backward."""
    xp = machine.xp
    maps = np.random.RandomState(0).standard_normal((N_MAPS if machine.on_gpu else 1, 1, channels, *MAP))
    turns = itertools.cycle(xp.asarray(maps.astype(np.float32)))
    rois, images = xp.asarray(rois), xp.zeros(len(rois), np.int32)
    op = getattr(functions, name)

    def forward():
        with chainer.no_backprop_mode():
            return op(next(turns), rois, images, bins, SCALE, **options)

    gradient = xp.ones_like(forward().array)

    def both():
        variable = chainer.Variable(next(turns))
        y = op(variable, rois, images, bins, SCALE, **options)
        y.grad = gradient
        y.backward()
        return variable

    return forward, both


def chainers_runs(name: str, bins: int, channels: int, options: Options, rois: Array) -> Passes:
    """Return the same for Chainer's or ChainerCV's own operator."""
    x = np.random.RandomState(0).standard_normal((1, channels, *MAP)).astype(np.float32)
    images = np.zeros(len(rois), np.int32)
    ratio = options.get("sampling_ratio") or None
    own = {
        "roi_align": lambda x: F.roi_average_align_2d(x, rois, images, bins, SCALE, ratio),
        "roi_pool": lambda x: F.roi_max_pooling_2d(x, rois, images, bins, SCALE),
        "ps_roi_align": lambda x: chainercv_functions.ps_roi_average_align_2d(
            x, rois, images, (channels // bins**2, bins, bins), SCALE, bins, ratio
        ),
        "ps_roi_pool": lambda x: chainercv_functions.ps_roi_average_pooling_2d(
            x, rois, images, (channels // bins**2, bins, bins), SCALE, bins
        ),
    }[name]

    def forward():
        with chainer.no_backprop_mode():
            own(x)

    def both():
        variable = chainer.Variable(x)
        y = own(variable)
        y.grad = np.ones_like(y.array)
        y.backward()

    return forward, both


def count_work(name: str, bins: int, channels: int, options: Options, rois: Array) -> tuple[float, float]:
    """Return the bytes a pass must move, and the operations it must do: multiply-adds count two."""
    per_bin = channels if name.startswith("roi") else channels // bins**2
    moved = 4 * (channels * MAP[0] * MAP[1] + len(rois) * per_bin * bins**2)
    sides = np.maximum((rois[:, 2:] - rois[:, :2]) * SCALE, 1) / bins  # feature pixels of a bin
    if "sampling_ratio" in options:
        samples = options["sampling_ratio"] or np.ceil(sides)
        pixels = np.minimum(2 * samples, sides + 1).clip(2).prod(axis=1) * 2
    else:
        pixels = (sides + 1).prod(axis=1)
    return moved, pixels.sum() * bins**2 * per_bin
