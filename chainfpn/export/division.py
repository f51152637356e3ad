"""Where a detector is divided between ONNX Runtime and the links here.

ONNX Runtime convolves at the speed of a matrix product. Of a 3x3 convolution with stride 1 Winograd's algorithm takes a
quarter of the multiplications, which on large maps makes the links here the faster ones. In a detector with a pyramid
those convolutions come last: they smooth its maps, and the head starts with them. So ONNX Runtime may stop at the sums
of the top-down path. Whether it does is measured on one such convolution, or as ``CHAINFPN_CONV`` says, see
:mod:`chainfpn.functions.kernels.algorithm`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import chainer
import numpy as np

from chainfpn._typing import Variable
from chainfpn.export.dense import Part
from chainfpn.functions.kernels import import_compiled, plain_numpy, threads
from chainfpn.functions.kernels.algorithm import chosen, is_winograd
from chainfpn.links.detectors.cuda_graphs import Maps, backbone_and_head
from chainfpn.links.fpn import FPN, BackboneWithFPN, LastLevelP6P7, max_pool_level
from chainfpn.links.layers import Convolution2D, convolve

#: Height and width of the photograph whose maps are meant.
PHOTOGRAPH = 480, 640
#: Side of the map that is measured, at most: of 256 channels Winograd's convolution takes 0.7 times as long there. From
#: ``WORTH`` on there is something to measure; at 48 both take as long (AMD EPYC, two threads).
MEASURED, WORTH = 64, 32


def whole(levels: Mapping[str, list[Variable]]) -> Maps:
    """Return the maps and predictions among all outputs, by name a list per level."""
    return Maps.of(levels["map"], *(hs for name, hs in levels.items() if name != "map"))


def part_before(detector: Any, part: Part) -> Part:
    """Return the part up to the sums of a pyramid: ``sum.l``, and ``body``, the last map, if extra levels need it."""
    body, fpn = detector.backbone.body, detector.backbone.fpn

    def function(x: Variable) -> dict[str, Variable]:
        hs = body(x)
        outputs = {f"sum.{level}": h for level, h in enumerate(fpn.merge(hs))}
        return outputs | ({"body": hs[-1]} if not getattr(fpn.extra_blocks, "use_p5", True) else {})

    return part._replace(function=function)


class LinksBehind:
    """What :func:`whole` does for the outputs of :func:`part_before`, by links with weights of their own.

    Args:
        detector (Detector): The detector.
        n_threads (int or None): How many compute; by default ``default_threads()`` of the process.
    """

    def __init__(self, detector: Any, n_threads: int | None) -> None:
        self._fpn, self._head = (
            link.copy(mode="copy") for link in (detector.backbone.fpn, backbone_and_head(detector)[1])
        )
        self._n_threads = n_threads

    def __call__(self, levels: dict[str, list[Variable]]) -> Maps:
        """Return the maps and predictions."""
        with threads.at_most(self._n_threads or threads.default_threads()):
            maps = self._fpn.smooth(levels.pop("sum"), levels.get("body", ()))  # which the head does without
            return Maps.of(maps, *self._head(maps))


def pays(detector: Any, make_run: Callable[[Part], Callable], n_images: int | None = None) -> bool:
    """Return whether a detector can be divided, and is faster so.

    Args:
        detector (Detector): The detector.
        make_run (callable): Brings a part into ONNX Runtime, and returns what runs it.
        n_images (int or None): How many there are to come: the measurement alone takes longer than one can gain, and
            much longer where Numba has not compiled the convolution yet.

    Raises:
        InvalidArgument: if ``CHAINFPN_CONV`` is no algorithm, or a file of something else.
        CheckpointError: if its file cannot be written.
    """
    if n_images == 1 and chosen() == "measure":
        return False
    if not _is_divisible(detector):
        return False
    layer = next(x for x in detector.backbone.fpn.layer_blocks[0].links() if isinstance(x, Convolution2D))
    n_channels, side = len(layer.W), min(MEASURED, *_finest_size(detector))
    x = chainer.Variable(np.random.Generator(np.random.PCG64(0)).random((1, n_channels, side, side), np.float32))
    shapes = [(n, n_channels, size, size + 1) for n, size in ((1, 8), (2, 12))]
    part = Part("x", ("batch", n_channels, "height", "width"), lambda x: {"y": convolve(layer, x, relu=True)}, shapes)
    make_once = functools.cache(lambda: make_run(part))

    def ours() -> object:
        return part.function(x)

    def theirs() -> object:
        return make_once()(x)

    kind = ("pyramid", n_channels, side) if side >= WORTH else None
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return is_winograd(side == MEASURED, kind, ours, theirs)


def stands(detector: Any, is_divided: bool) -> bool:
    """Return whether what was measured before holds: ``CHAINFPN_CONV`` says nothing else, and it can still be so.

    Args:
        detector (Detector): The detector.
        is_divided (bool): What was chosen.

    Raises:
        InvalidArgument: if ``CHAINFPN_CONV`` is no algorithm.
    """
    if chosen() != "measure":
        return is_divided == pays(detector, lambda part: part.function)  # which is not called
    return not is_divided or _is_divisible(detector)


def _is_divisible(detector):
    """Return whether there is Numba, and a detector ends as this module means it: no subclass may do anything else."""
    backbone = getattr(detector, "backbone", None)
    if import_compiled("winograd") is None or type(backbone) is not BackboneWithFPN or type(backbone.fpn) is not FPN:
        return False
    extra = backbone.fpn.extra_blocks
    is_known = extra is None or extra is max_pool_level or type(extra) is LastLevelP6P7
    return is_known and isinstance(backbone_and_head(detector)[1], chainer.Link)


def _finest_size(detector):
    """Return height and width of the finest map of a photograph."""
    preprocess = detector.preprocess
    multiple = getattr(preprocess, "size_divisible", 1)
    with chainer.using_config("train", False), chainer.no_backprop_mode(), plain_numpy():
        sides = getattr(preprocess, "resized_size", tuple)(PHOTOGRAPH)
        h = detector.backbone.body(np.zeros((1, 3, 64, 64), np.float32))[0]
    return [-(-side // multiple) * multiple * size // 64 for side, size in zip(sides, h.shape[2:], strict=True)]
