"""torchvision's detectors on a pyramid: the shapes of every tensor, and from shapes back to arguments."""

from collections.abc import Callable
from itertools import pairwise, takewhile

from chainfpn.models.registry import COCO_CLASS_IDS
from weights_convert._typing import AnyShapes, Described, Json, Shapes
from weights_convert.architectures.mobilenet import LARGE, mobilenet_v3
from weights_convert.architectures.resnet import Trunk, find_trunk
from weights_convert.architectures.shapes import conv, conv_norm, linear, norm, size_of
from weights_convert.architectures.trunks import NetworkTrunk, find_network_trunk

_BODY = "backbone.body."

#: What a default builder has; arguments equal to these are left out of ``__meta__``.
DEFAULTS: Json = {"depth": 50, "stages": [1, 2, 3, 4], "fpn_channels": 256, "head_channels": 1024}

#: Other arguments that only the builders on any ResNet take.
_ONLY_ANY = ("p6_from_trunk", "norm", "mask_layers", "mask_dim_reduced", "keypoint_layers")

#: No head has more layers.
_MOST_LAYERS = 16

#: Two detectors have the same tensors; a file is taken for the first unless its hash or --model says more.
MOBILENET_BUILDERS = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")

Pyramid = tuple[Trunk | NetworkTrunk, list[int], int, bool]


def fpn(channels: list[int], width: int, normed: bool, statistics: bool = True) -> Shapes:
    """Return the shapes of a feature pyramid."""
    shapes: Shapes = {}
    for kind, size in (("inner", 1), ("layer", 3)):
        for i, n in enumerate(channels):
            at, n_in = f"backbone.fpn.{kind}_blocks.{i}", n if kind == "inner" else width
            layer = conv_norm(at, n_in, width, size, statistics=statistics)
            shapes |= layer if normed else conv(at, n_in, width, size, True)
    return shapes


def rpn(width: int, n_anchors: int, depth: int) -> Shapes:
    """Return the shapes of a region proposal network."""
    shapes = conv("rpn.head.cls_logits", width, n_anchors, 1, True)
    shapes |= conv("rpn.head.bbox_pred", width, 4 * n_anchors, 1, True)
    for name in ["rpn.head.conv"] if depth == 1 else [f"rpn.head.conv.{i}.0" for i in range(depth)]:
        shapes |= conv(name, width, width, 3, True)
    return shapes


def box_head(width: int, head: int, n_outputs: int, normed: bool, statistics: bool = True) -> Shapes:
    """Return the shapes of the head and the predictor of boxes."""
    at, predictor = "roi_heads.box_head.", "roi_heads.box_predictor."
    shapes = linear(f"{predictor}cls_score", head, n_outputs) | linear(f"{predictor}bbox_pred", head, 4 * n_outputs)
    if not normed:
        return shapes | linear(f"{at}fc6", width * 49, head) | linear(f"{at}fc7", head, head)
    for i in range(4):
        shapes |= conv_norm(f"{at}{i}", width, width, 3, statistics=statistics)
    return shapes | linear(f"{at}5", width * 49, head)


def _mask_head(width: int, n_outputs: int, normed: bool, statistics: bool, layers: list[int], reduced: int) -> Shapes:
    at, predictor = "roi_heads.mask_head.", "roi_heads.mask_predictor."
    shapes = conv(f"{predictor}mask_fcn_logits", reduced, n_outputs, 1, True)
    shapes |= {f"{predictor}conv5_mask.weight": (layers[-1], reduced, 2, 2), f"{predictor}conv5_mask.bias": (reduced,)}
    for i, (n_in, n_out) in enumerate(pairwise([width, *layers])):
        layer = conv_norm(f"{at}{i}", n_in, n_out, 3, statistics=statistics)
        shapes |= layer if normed else conv(f"{at}mask_fcn{i + 1}", n_in, n_out, 3, True)
    return shapes


def _keypoint_head(width: int, n_keypoints: int, layers: list[int]) -> Shapes:
    name = "roi_heads.keypoint_predictor.kps_score_lowres"
    shapes: Shapes = {f"{name}.weight": (layers[-1], n_keypoints, 4, 4), f"{name}.bias": (n_keypoints,)}
    for i, (n_in, n_out) in enumerate(pairwise([width, *layers])):
        shapes |= conv(f"roi_heads.keypoint_head.{2 * i}", n_in, n_out, 3, True)
    return shapes


def _widths(shapes: AnyShapes, name: Callable[[int], str], default: list[int]) -> list[int]:
    """Return the channels out of layers that are numbered, as many as there are."""
    found = list(takewhile(bool, (size_of(shapes, name(i)) for i in range(_MOST_LAYERS))))
    return found or default


def _read_pyramid(shapes: AnyShapes) -> Pyramid | None:
    """Return ``(trunk, stages, width, normed)`` or ``None``."""
    trunk = find_trunk(shapes, _BODY) or find_network_trunk(shapes, _BODY)
    if trunk is None or trunk.name is None:
        return None
    normed = "backbone.fpn.inner_blocks.0.1.weight" in shapes
    suffix = ".0.weight" if normed else ".weight"
    width = size_of(shapes, f"backbone.fpn.inner_blocks.0{suffix}", default=256)
    inputs = [size_of(shapes, f"backbone.fpn.inner_blocks.{i}{suffix}", axis=1) for i in range(trunk.n_stages)]
    stage_of = {trunk.channels(stage): stage for stage in range(1, trunk.n_stages + 1)}
    return trunk, [stage_of[n] for n in inputs if n in stage_of] or [*stage_of.values()], width, normed


def _pyramid(trunk: Trunk | NetworkTrunk, stages: list[int], width: int, normed: bool) -> Shapes:
    return trunk.shapes(_BODY) | fpn([trunk.channels(stage) for stage in stages], width, normed, trunk.statistics)


def labels(n_outputs: int) -> Json:
    """Return the arguments that say which outputs are labels: all but the first, or COCO's of 91."""
    if n_outputs == 91:
        return {"n_fg_class": 80, "class_ids": list(COCO_CLASS_IDS)}
    return {"n_fg_class": n_outputs - 1}


def describe_rcnn(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a Faster, Mask or Keypoint R-CNN, or ``None``."""
    heads = {name.split(".")[1].partition("_")[0] for name in shapes if name.startswith("roi_heads.")}
    pyramid = _read_pyramid(shapes)
    if not heads or pyramid is None:
        return None
    trunk, stages, width, normed = pyramid
    head = size_of(shapes, "roi_heads.box_head.fc6.weight", "roi_heads.box_head.5.weight", default=1024)
    n_outputs = size_of(shapes, "roi_heads.box_predictor.cls_score.weight", default=91)
    n_anchors = size_of(shapes, "rpn.head.cls_logits.weight", default=3)
    expected = _pyramid(*pyramid) | rpn(width, n_anchors, 2 if normed else 1)
    expected |= box_head(width, head, n_outputs, normed, trunk.statistics)
    arguments, kind = labels(n_outputs), "fasterrcnn"
    if "mask" in heads:
        kind, at = "maskrcnn", "roi_heads.mask_head."
        layers = _widths(shapes, lambda i: f"{at}{i}.0.weight" if normed else f"{at}mask_fcn{i + 1}.weight", [256] * 4)
        reduced = size_of(shapes, "roi_heads.mask_predictor.conv5_mask.weight", axis=1, default=256)
        expected |= _mask_head(width, n_outputs, normed, trunk.statistics, layers, reduced)
        arguments |= {"mask_layers": layers} if layers != [256] * 4 else {}
        arguments |= {"mask_dim_reduced": reduced} if reduced != 256 else {}
    elif "keypoint" in heads:
        kind = "keypointrcnn"
        n_keypoints = size_of(shapes, "roi_heads.keypoint_predictor.kps_score_lowres.weight", axis=1, default=17)
        layers = _widths(shapes, lambda i: f"roi_heads.keypoint_head.{2 * i}.weight", [512] * 8)
        expected |= _keypoint_head(width, n_keypoints, layers)
        arguments |= {"keypoint_layers": layers} if layers != [512] * 8 else {}
        arguments |= {"n_keypoint": n_keypoints} if n_keypoints != 17 else {}
    arguments |= _unlike_defaults(trunk, stages, width, head)
    return _name(kind, normed, arguments), arguments, expected


def _unlike_defaults(trunk: Trunk | NetworkTrunk, stages: list[int], width: int, head: int = 1024) -> Json:
    depth = trunk.depth if trunk.name == f"resnet{trunk.depth}" else trunk.name
    found = {"depth": depth, "stages": stages, "fpn_channels": width, "head_channels": head}
    group = {} if trunk.statistics else {"norm": "group"}
    return {key: value for key, value in found.items() if value != DEFAULTS[key]} | group


def _name(kind: str, normed: bool, arguments: Json) -> str:
    usual = not set(arguments) & {*DEFAULTS, *_ONLY_ANY}
    return f"{kind}_{'resnet50' if usual else 'resnet'}_fpn{'_v2' if normed else ''}"


def describe_mobilenet_rcnn(builder: str, shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a Faster R-CNN on MobileNetV3-Large, or ``None``."""
    if f"{_BODY}1.block.0.0.weight" not in shapes or "roi_heads.box_predictor.cls_score.weight" not in shapes:
        return None
    n_outputs = size_of(shapes, "roi_heads.box_predictor.cls_score.weight", default=91)
    expected = mobilenet_v3(LARGE, _BODY) | fpn([160, 960], 256, False) | rpn(256, 15, 1)
    return builder, labels(n_outputs), expected | box_head(256, 1024, n_outputs, False)


def describe_one_stage(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a RetinaNet or FCOS, or ``None``."""
    pyramid = _read_pyramid(shapes)
    if "head.classification_head.cls_logits.weight" not in shapes or pyramid is None:
        return None
    trunk, stages, width, _ = pyramid
    scaled = "head.regression_head.scales.0.scale" in shapes  # as its authors and mmdetection have it
    fcos = scaled or any(name.startswith("head.regression_head.bbox_ctrness") for name in shapes)
    normed = "head.classification_head.conv.0.1.weight" in shapes
    n_anchors = 1 if fcos else size_of(shapes, "head.regression_head.bbox_reg.weight", default=36) // 4
    n_outputs = size_of(shapes, "head.classification_head.cls_logits.weight", default=91) // max(n_anchors, 1)
    last, usual = trunk.channels(stages[-1]), normed and not fcos
    p6 = size_of(shapes, "backbone.fpn.extra_blocks.p6.weight", axis=1, default=last if usual else width)
    p6_from_trunk = usual if last == width or p6 not in (last, width) else p6 == last  # equal widths do not tell
    expected = _pyramid(trunk, stages, width, False)
    expected |= conv("backbone.fpn.extra_blocks.p6", last if p6_from_trunk else width, width, 3, True)
    expected |= conv("backbone.fpn.extra_blocks.p7", width, width, 3, True)
    expected |= _one_stage_head("classification", "cls_logits", width, n_anchors * n_outputs, fcos, normed, not scaled)
    expected |= _one_stage_head("regression", "bbox_reg", width, n_anchors * 4, fcos, normed, not scaled)
    if fcos:
        expected |= conv(f"head.{'classification' if scaled else 'regression'}_head.bbox_ctrness", width, 1, 3, True)
        expected |= {f"head.regression_head.scales.{i}.scale": () for i in range(len(stages) + 2)} if scaled else {}
    arguments = labels(n_outputs) | _unlike_defaults(trunk, stages, width) | {"stages": stages}
    if stages == [2, 3, 4]:
        del arguments["stages"]
    if p6_from_trunk != usual:
        arguments["p6_from_trunk"] = p6_from_trunk
    return _name("fcos" if fcos else "retinanet", normed, arguments), arguments, expected


def _one_stage_head(kind: str, last: str, width: int, n_out: int, fcos: bool, normed: bool, biased: bool) -> Shapes:
    at = f"head.{kind}_head."
    shapes = conv(f"{at}{last}", width, n_out, 3, True)
    for i in range(4):
        if normed:
            shapes |= conv_norm(f"{at}conv.{i}", width, width, 3, statistics=False)
        elif fcos:
            shapes |= conv(f"{at}conv.{3 * i}", width, width, 3, biased)
            shapes |= norm(f"{at}conv.{3 * i + 1}", width, statistics=False)
        else:
            shapes |= conv(f"{at}conv.{2 * i}", width, width, 3, True)
    return shapes


def describe_backbone(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a ResNet with its pyramid alone, or ``None``."""
    inside = {f"backbone.{name}": shape for name, shape in shapes.items() if name.startswith(("body.", "fpn."))}
    pyramid = _read_pyramid(inside)
    if pyramid is None or not any(name.startswith("backbone.fpn.inner_blocks.") for name in inside):
        return None
    trunk, stages, width, normed = pyramid
    expected, arguments = _pyramid(*pyramid), _unlike_defaults(trunk, stages, width)
    arguments |= {"fpn_norm": True} if normed else {}
    if "backbone.fpn.extra_blocks.p6.weight" in inside:
        last = trunk.channels(stages[-1])
        p6 = size_of(inside, "backbone.fpn.extra_blocks.p6.weight", axis=1)
        expected |= conv("backbone.fpn.extra_blocks.p6", last if p6 == last else width, width, 3, True)
        expected |= conv("backbone.fpn.extra_blocks.p7", width, width, 3, True)
        arguments |= {"extra_levels": "p6p7"} | ({"p6_from_trunk": True} if p6 == last else {})
    return "resnet_fpn_backbone", arguments, {name.removeprefix("backbone."): s for name, s in expected.items()}
