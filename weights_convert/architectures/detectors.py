"""torchvision's detectors on a ResNet pyramid: the shapes of every tensor, and from shapes back to arguments."""

import math

from weights_convert.architectures.resnet import conv, find_trunk, linear, norm

_BODY = "backbone.body."

#: What a default builder has; arguments equal to these are left out of ``__meta__``.
DEFAULTS = {"depth": 50, "stages": [1, 2, 3, 4], "fpn_channels": 256, "head_channels": 1024}

#: The 80 outputs of torchvision's 91 that have a name: the ids COCO uses.
COCO_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]


def fpn(channels, width, normed):
    """Return the shapes of a feature pyramid."""
    shapes = {}
    for kind, size in (("inner", 1), ("layer", 3)):
        for i, n in enumerate(channels):
            at, n_in = f"backbone.fpn.{kind}_blocks.{i}", n if kind == "inner" else width
            shapes |= (
                conv(f"{at}.0", n_in, width, size) | norm(f"{at}.1", width)
                if normed
                else conv(at, n_in, width, size, True)
            )
    return shapes


def rpn(width, n_anchors, depth):
    """Return the shapes of a region proposal network."""
    names = ["rpn.head.conv"] if depth == 1 else [f"rpn.head.conv.{i}.0" for i in range(depth)]
    shapes = {}
    for name in names:
        shapes |= conv(name, width, width, 3, True)
    return (
        shapes
        | conv("rpn.head.cls_logits", width, n_anchors, 1, True)
        | conv("rpn.head.bbox_pred", width, 4 * n_anchors, 1, True)
    )


def box_head(width, head, n_outputs, normed):
    """Return the shapes of the head and the predictor of boxes."""
    at = "roi_heads.box_head."
    if normed:
        shapes = linear(f"{at}5", width * 49, head)
        for i in range(4):
            shapes |= conv(f"{at}{i}.0", width, width, 3) | norm(f"{at}{i}.1", width)
    else:
        shapes = linear(f"{at}fc6", width * 49, head) | linear(f"{at}fc7", head, head)
    predictor = "roi_heads.box_predictor."
    return (
        shapes | linear(f"{predictor}cls_score", head, n_outputs) | linear(f"{predictor}bbox_pred", head, 4 * n_outputs)
    )


def _mask_head(width, n_outputs, normed):
    at, shapes = "roi_heads.mask_head.", {}
    for i in range(4):
        if normed:
            shapes |= conv(f"{at}{i}.0", width, 256, 3) | norm(f"{at}{i}.1", 256)
        else:
            shapes |= conv(f"{at}mask_fcn{i + 1}", width, 256, 3, True)
        width = 256
    predictor = "roi_heads.mask_predictor."
    return (
        shapes
        | conv(f"{predictor}conv5_mask", 256, 256, 2, True)
        | conv(f"{predictor}mask_fcn_logits", 256, n_outputs, 1, True)
    )


def _keypoint_head(width, n_keypoints):
    shapes = {}
    for i in range(8):
        shapes |= conv(f"roi_heads.keypoint_head.{2 * i}", width if i == 0 else 512, 512, 3, True)
    name = "roi_heads.keypoint_predictor.kps_score_lowres"
    return shapes | {f"{name}.weight": (512, n_keypoints, 4, 4), f"{name}.bias": (n_keypoints,)}


def _first(shapes, *names, axis=0, default=None):
    for name in names:
        if name in shapes and len(shapes[name]) > axis:
            return shapes[name][axis]
    return default


def _read_pyramid(shapes):
    """Return ``(trunk, stages, width, normed)`` or ``None``."""
    trunk = find_trunk(shapes, _BODY)
    if trunk is None:
        return None
    normed = "backbone.fpn.inner_blocks.0.1.weight" in shapes
    suffix = ".0.weight" if normed else ".weight"
    width = _first(shapes, f"backbone.fpn.inner_blocks.0{suffix}", default=256)
    inputs = []
    while (n := _first(shapes, f"backbone.fpn.inner_blocks.{len(inputs)}{suffix}", axis=1)) is not None:
        inputs.append(n)
    stage_of = {trunk.channels(stage): stage for stage in range(1, trunk.n_stages + 1)}
    stages = [stage_of[n] for n in inputs if n in stage_of] or list(range(1, trunk.n_stages + 1))
    return trunk, stages, width, normed


def labels(n_outputs):
    """Return the arguments that say which outputs are labels: all but the first, or COCO's of 91."""
    if n_outputs == 91:
        return {"n_fg_class": 80, "class_ids": COCO_IDS}
    return {"n_fg_class": n_outputs - 1}


def describe_rcnn(shapes):
    """Return ``(builder, arguments, expected shapes)`` of a Faster, Mask or Keypoint R-CNN, or ``None``."""
    if not any(name.startswith("roi_heads.") for name in shapes):
        return None
    pyramid = _read_pyramid(shapes)
    if pyramid is None or pyramid[0].name is None:
        return None
    trunk, stages, width, normed = pyramid
    head = _first(shapes, "roi_heads.box_head.fc6.weight", "roi_heads.box_head.5.weight", default=1024)
    n_outputs = _first(shapes, "roi_heads.box_predictor.cls_score.weight", default=91)
    n_anchors = _first(shapes, "rpn.head.cls_logits.weight", default=3)
    rpn_depth = 1 + sum(f"rpn.head.conv.{i}.0.weight" in shapes for i in range(1, 4))
    expected = trunk.shapes(_BODY) | fpn([trunk.channels(s) for s in stages], width, normed)
    expected |= rpn(width, n_anchors, rpn_depth) | box_head(width, head, n_outputs, normed)

    arguments, kind = labels(n_outputs), "fasterrcnn"
    if any(name.startswith("roi_heads.mask_") for name in shapes):
        kind = "maskrcnn"
        expected |= _mask_head(width, n_outputs, normed)
    elif any(name.startswith("roi_heads.keypoint_") for name in shapes):
        kind = "keypointrcnn"
        n_keypoints = _first(shapes, "roi_heads.keypoint_predictor.kps_score_lowres.weight", axis=1, default=17)
        expected |= _keypoint_head(width, n_keypoints)
        if n_keypoints != 17:
            arguments["n_keypoint"] = n_keypoints
    arguments |= _unlike_defaults(trunk, stages, width, head)
    return _name(kind, "_v2" if normed else "", trunk, arguments), arguments, expected


def _unlike_defaults(trunk, stages, width, head=1024):
    depth = trunk.depth if trunk.name == f"resnet{trunk.depth}" else trunk.name
    found = {"depth": depth, "stages": stages, "fpn_channels": width, "head_channels": head}
    return {key: value for key, value in found.items() if value != DEFAULTS[key]}


def _name(kind, suffix, trunk, arguments):
    usual = not set(arguments) & {*DEFAULTS, "p6_from_trunk"}
    return f"{kind}_resnet50_fpn{suffix}" if usual else f"{kind}_resnet_fpn{suffix}"


def describe_one_stage(shapes):
    """Return ``(builder, arguments, expected shapes)`` of a RetinaNet or FCOS, or ``None``."""
    if "head.classification_head.cls_logits.weight" not in shapes:
        return None
    pyramid = _read_pyramid(shapes)
    if pyramid is None or pyramid[0].name is None:
        return None
    trunk, stages, width, _ = pyramid
    fcos = any(name.startswith("head.regression_head.bbox_ctrness") for name in shapes)
    normed = "head.classification_head.conv.0.1.weight" in shapes
    n_anchors = 1 if fcos else _first(shapes, "head.regression_head.bbox_reg.weight", default=36) // 4
    n_outputs = _first(shapes, "head.classification_head.cls_logits.weight", default=91) // max(n_anchors, 1)
    expected = trunk.shapes(_BODY) | fpn([trunk.channels(s) for s in stages], width, False)
    last, usual = trunk.channels(stages[-1]), normed and not fcos
    p6 = _first(shapes, "backbone.fpn.extra_blocks.p6.weight", axis=1, default=last if usual else width)
    p6_from_trunk = usual if last == width or p6 not in (last, width) else p6 == last  # equal widths do not tell
    expected |= conv("backbone.fpn.extra_blocks.p6", last if p6_from_trunk else width, width, 3, True)
    expected |= conv("backbone.fpn.extra_blocks.p7", width, width, 3, True)
    expected |= _one_stage_head("classification", "cls_logits", width, n_anchors * n_outputs, fcos, normed)
    expected |= _one_stage_head("regression", "bbox_reg", width, n_anchors * 4, fcos, normed)
    if fcos:
        expected |= conv("head.regression_head.bbox_ctrness", width, 1, 3, True)
    arguments = labels(n_outputs) | _unlike_defaults(trunk, stages, width) | {"stages": stages}
    if stages == [2, 3, 4]:
        del arguments["stages"]
    if p6_from_trunk != usual:
        arguments["p6_from_trunk"] = p6_from_trunk
    return _name("fcos" if fcos else "retinanet", "_v2" if normed else "", trunk, arguments), arguments, expected


def _one_stage_head(kind, last, width, n_out, fcos, normed):
    at = f"head.{kind}_head."
    shapes = conv(f"{at}{last}", width, n_out, 3, True)
    for i in range(4):
        if normed:
            shapes |= conv(f"{at}conv.{i}.0", width, width, 3) | _affine(f"{at}conv.{i}.1", width)
        elif fcos:
            shapes |= conv(f"{at}conv.{3 * i}", width, width, 3, True) | _affine(f"{at}conv.{3 * i + 1}", width)
        else:
            shapes |= conv(f"{at}conv.{2 * i}", width, width, 3, True)
    return shapes


def _affine(name, n):
    return {f"{name}.weight": (n,), f"{name}.bias": (n,)}


def head_resolution(shapes, width):
    """Return the side of the grid that the box head was trained on, from its first linear layer."""
    n = _first(shapes, "roi_heads.box_head.fc6.weight", "roi_heads.box_head.5.weight", axis=1, default=width * 49)
    return math.sqrt(n / width)
