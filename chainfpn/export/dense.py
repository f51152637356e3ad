"""The dense parts of models: maps and what the heads predict, without what turns that into detections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chainer
import chainer.functions as F
from chainercv.links import FasterRCNNVGG16

from chainfpn._typing import Variable
from chainfpn.export.graph import Graph, Tensor
from chainfpn.export.trace import ExportError, Trace, trace
from chainfpn.export.translate import translate
from chainfpn.functions.kernels import plain_numpy
from chainfpn.links.backbones.swin_transformer import SwinTransformer
from chainfpn.links.detectors.cascade_roi_heads import CascadeRoIHeads
from chainfpn.links.detectors.cuda_graphs import backbone_and_head
from chainfpn.links.detectors.detector import Detector
from chainfpn.links.detectors.roi_heads import BRANCH_OUTSIZE
from chainfpn.links.detectors.ssd import SSD

#: Sides of the two traced batches, the smallest for which at every level down to 1/128 no side is the same in both, nor
#: is the number of places; and for which halving rounds up somewhere, so that no map is twice as large as the next.
SIZES = (97, 98), (130, 129)
#: Images of the two batches.
BATCHES = 2, 1
#: What heads predict, in order; centers are FCOS's.
HEAD_OUTPUTS = ("logits", "deltas", "centers")


class Part(NamedTuple):
    """A part of a model that is traced as a whole.

    Attributes:
        input (str): Name of what goes in.
        sides (tuple of str): Names of the sides of what goes in, or the sides themselves.
        function (callable): Variable to a dict of Variables.
        shapes (pair of shapes): Of the traced batches.
    """

    input: str
    sides: tuple[int | str, ...]
    function: Callable[[Variable], Mapping[str, Variable]]
    shapes: Sequence[Sequence[int]]


def parts_of(model: chainer.Link, sizes: Sequence[tuple[int, int]] | None = None) -> dict[str, Part]:
    """Take a model apart.

    Args:
        model (chainer.Link): A classifier, a pyramid, a detector, or any chain that maps (B, C, H, W) to a Variable, a
            sequence or a dict of them.
        sizes (pair of (int, int) or None): Heights and widths it is traced at; by default such that there is something
            left at the coarsest level. A side that is the same in both is the only one that the file takes.

    Returns:
        dict: Name to part. ``image`` is always there, and of detectors with proposals those of :func:`roi_parts`, of
        ChainerCV's ``FasterRCNNVGG16`` ``box``.
    """
    sizes = _sizes(model) if sizes is None else sizes
    shapes = [(n, 3, *size) for n, size in zip(BATCHES, sizes, strict=True)]
    is_chainercvs = isinstance(model, FasterRCNNVGG16)
    make = _detector_function if isinstance(model, Detector) else _chainercvs_function if is_chainercvs else _function
    sides = [a if a == b else name for name, a, b in zip(("height", "width"), *sizes, strict=True)]
    parts = {"image": Part("x", ("batch", 3, *sides), make(model), shapes)}
    if hasattr(model, "roi_heads"):
        parts |= _heads(model.roi_heads, _channels(model))
    if is_chainercvs:
        parts["box"] = _chainercvs_head(model.head)
    return parts


def roi_parts(heads: Any) -> dict[str, tuple[Any, str]]:
    """Find the parts behind RoI Align.

    Args:
        heads (RoIHeads, CascadeRoIHeads or None): Of the detector.

    Returns:
        dict: Name of the part to the heads it is of, and ``'box'``, ``'mask'`` or ``'keypoint'``. That is also its
        name; in a cascade the number of the stage follows: ``box0``.
    """
    stages = {str(i): stage for i, stage in enumerate(heads)} if isinstance(heads, CascadeRoIHeads) else {"": heads}
    return {
        kind + number: (stage, kind)
        for number, stage in stages.items()
        for kind in ("box", "mask", "keypoint")
        if getattr(stage, f"{kind}_head", None) is not None
    }


def _sizes(model):
    """Return the sizes to trace at: of a model for one size of image this and a slightly larger one.

    How a Swin Transformer cuts a map into windows depends on its size: it is traced at one.
    """
    if isinstance(model, SwinTransformer):
        return ((model.preprocess.crop,) * 2,) * 2
    if not isinstance(model, SSD):
        return SIZES
    height, width = model.preprocess.fixed_size
    return (height, width), (height + height // 2 + 37, width + width // 2 + 55)


def _channels(model):
    """Return the channels of the maps that proposals are pooled from."""
    with chainer.using_config("train", False), chainer.no_backprop_mode(), plain_numpy():
        return model.backbone(model.xp.zeros((1, 3, 32, 32), "f"))[0].shape[1]


def _detector_function(model):
    """Return what maps a batch to maps and head outputs: ``map.l``, and per level what the family's head predicts."""
    backbone, head = backbone_and_head(model)

    def function(x):
        hs = backbone(x)
        outputs = {f"map.{level}": h for level, h in enumerate(hs)}
        for name, levels in zip(HEAD_OUTPUTS, head(hs), strict=False):
            outputs |= {f"{name}.{level}": h for level, h in enumerate(levels)}
        return outputs

    return function


def _chainercvs_function(model):
    """Return what maps a batch to the map and, at every pixel, the logits and deltas of ChainerCV's proposals."""

    def function(x):
        h = model.extractor(x)
        hidden = F.relu(model.rpn.conv1(h))
        return {"map": h, "logits": model.rpn.score(hidden), "deltas": model.rpn.loc(hidden)}

    return function


def _chainercvs_head(head):
    """Return the part behind ChainerCV's RoI pooling."""

    def function(x):
        h = F.relu(head.fc7(F.relu(head.fc6(x))))
        return {"logits": head.score(h), "deltas": head.cls_loc(h)}

    side = head.roi_size
    channels = head.fc6.in_size // side**2
    return Part("pooled", ("rois", channels, side, side), function, [(n, channels, side, side) for n in (2, 3)])


def _function(model):
    """Return what maps a batch to named outputs: ``y``, or ``y.0``, ``y.1`` ..., or the names of a dict."""

    def function(x):
        y = model(x)
        if isinstance(y, Mapping):
            return y
        return {f"y.{i}": part for i, part in enumerate(y)} if isinstance(y, tuple | list) else {"y": y}

    return function


def _heads(heads, channels):
    """Return the parts behind RoI Align."""

    def part(head, predictor, names, side):
        def function(x):
            results = predictor(head(x))
            return dict(zip(names, results if isinstance(results, tuple) else (results,), strict=True))

        shapes = [(n, channels, side, side) for n in (2, 3)]
        return Part("pooled", ("rois", channels, side, side), function, shapes)

    parts = {}
    for name, (stage, kind) in roi_parts(heads).items():
        head, predictor = getattr(stage, f"{kind}_head"), getattr(stage, f"{kind}_predictor")
        names, side = (("logits", "deltas"), stage.outsize) if kind == "box" else (("logits",), BRANCH_OUTSIZE)
        parts[name] = part(head, predictor, names, side)
    return parts


def add_part(graph: Graph, part: Part, x: Tensor, names: Mapping[int, str]) -> tuple[dict[str, Tensor], Trace]:
    """Add a part to a graph.

    Args:
        graph (Graph): The graph.
        part (Part): The part.
        x (Tensor): What goes in.
        names (mapping): id of an array to its name in the model.

    Returns:
        tuple: Name to output, and the trace, for the shapes.

    Raises:
        ExportError: if it cannot be written as ONNX.
    """
    seen = trace(part.function, part.shapes)
    return translate(graph, seen, [x], names), seen


def dense_graph(part: Part, names: Mapping[int, str]) -> Graph:
    """Return a part as a graph of its own; the arguments are those of :func:`add_part`."""
    graph = Graph()
    x = graph.input(part.input, "float32", part.sides)
    outputs, seen = add_part(graph, part, x, names)
    for name, tensor in outputs.items():
        if name == part.input:
            raise ExportError(f"an output must have another name than the input, {name}")
        graph.output(name, tensor, _sides(part, name, seen.outputs[name].shapes))
    return graph


def _sides(part, name, shapes):
    """Name the sides of an output: what is the same in both runs is a number."""
    sides = []
    for axis, pair in enumerate(zip(*shapes, strict=True)):
        if pair[0] == pair[1]:
            sides.append(pair[0])
        else:
            sides.append(part.sides[0] if axis == 0 else f"{name} side {axis}")
    return sides


def array_names(model: chainer.Link) -> dict[int, str]:
    """Return the names of a model's parameters by the id of their arrays."""
    return {id(param.array): path.lstrip("/") for path, param in model.namedparams() if param.array is not None}
