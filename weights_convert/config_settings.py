"""What a configuration of detectron2 or mmdetection says that weights do not: arguments of our builders."""

from collections.abc import Iterator, Mapping
from typing import Any

from weights_convert._typing import Json

#: detectron2's keys -> arguments of builders, those of detectors with proposals and of RetinaNet.
_DETECTRON2 = {
    "INPUT.FORMAT": ("channel_order",),
    "INPUT.MIN_SIZE_TEST": ("min_size",),
    "INPUT.MAX_SIZE_TEST": ("max_size",),
    "MODEL.PIXEL_MEAN": ("image_mean",),
    "MODEL.PIXEL_STD": ("image_std",),
    "MODEL.RESNETS.STRIDE_IN_1X1": ("stride_in_1x1",),
    "MODEL.ANCHOR_GENERATOR.SIZES": ("anchor_sizes",),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS.0": ("aspect_ratios",),
    "MODEL.RPN.NMS_THRESH": ("rpn_nms_thresh",),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": ("rpn_pre_nms_top_n_test",),
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": ("rpn_pre_nms_top_n_train",),
    "MODEL.RPN.POST_NMS_TOPK_TEST": ("rpn_post_nms_top_n_test",),
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": ("rpn_post_nms_top_n_train",),
    "MODEL.RPN.IOU_THRESHOLDS.0": ("rpn_bg_iou_thresh",),
    "MODEL.RPN.IOU_THRESHOLDS.1": ("rpn_fg_iou_thresh",),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": ("rpn_batch_size_per_image",),
    "MODEL.RPN.POSITIVE_FRACTION": ("rpn_positive_fraction",),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": ("box_score_thresh",),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": ("box_nms_thresh",),
    "MODEL.ROI_HEADS.IOU_THRESHOLDS.0": ("box_bg_iou_thresh", "box_fg_iou_thresh"),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": ("box_batch_size_per_image",),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": ("box_positive_fraction",),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": ("bbox_reg_weights",),
    "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS": ("cascade_bbox_reg_weights",),
    "MODEL.ROI_BOX_CASCADE_HEAD.IOUS": ("cascade_iou_thresh",),
    "MODEL.RETINANET.SCORE_THRESH_TEST": ("score_thresh",),
    "MODEL.RETINANET.NMS_THRESH_TEST": ("nms_thresh",),
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST": ("topk_candidates",),
    "MODEL.RETINANET.IOU_THRESHOLDS.0": ("bg_iou_thresh",),
    "MODEL.RETINANET.IOU_THRESHOLDS.1": ("fg_iou_thresh",),
    "TEST.DETECTIONS_PER_IMAGE": ("box_detections_per_img", "detections_per_img"),
}

#: What our builders always compute by detectron2's and mmdetection's rules; another value is named in the report.
_FIXED = {
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 0,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 0,
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0,
    "MODEL.RPN.BBOX_REG_WEIGHTS": [1, 1, 1, 1],
    "MODEL.RETINANET.BBOX_REG_WEIGHTS": [1, 1, 1, 1],
    "MODEL.FPN.FUSE_TYPE": "sum",
    "model.roi_head.bbox_roi_extractor.roi_layer.type": "RoIAlign",
    "model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio": 0,
    "model.roi_head.bbox_roi_extractor.roi_layer.output_size": 7,
    "model.rpn_head.anchor_generator.type": "AnchorGenerator",
    "model.bbox_head.norm_on_bbox": False,
    "model.bbox_head.centerness_on_reg": False,
    "model.test_cfg.rcnn.nms.type": "nms",
    "model.test_cfg.nms.type": "nms",
}

#: mmdetection's keys, below ``model`` -> arguments; those of its first versions before those of today.
_MMDETECTION = {
    "test_cfg.rpn.max_num": ("rpn_post_nms_top_n_test",),
    "test_cfg.rpn.nms_thr": ("rpn_nms_thresh",),
    "test_cfg.rcnn.nms.iou_thr": ("box_nms_thresh",),
    "test_cfg.nms.iou_thr": ("nms_thresh",),
    "test_cfg.rpn.nms_pre": ("rpn_pre_nms_top_n_test",),
    "test_cfg.rpn.max_per_img": ("rpn_post_nms_top_n_test",),
    "test_cfg.rpn.nms.iou_threshold": ("rpn_nms_thresh",),
    "test_cfg.rcnn.score_thr": ("box_score_thresh",),
    "test_cfg.rcnn.nms.iou_threshold": ("box_nms_thresh",),
    "test_cfg.rcnn.max_per_img": ("box_detections_per_img",),
    "test_cfg.score_thr": ("score_thresh",),
    "test_cfg.nms.iou_threshold": ("nms_thresh",),
    "test_cfg.max_per_img": ("detections_per_img",),
    "test_cfg.nms_pre": ("topk_candidates",),
}

#: What configurations call a detector -> how the names of our builders begin.
_DETECTORS = {
    "FasterRCNN": "fasterrcnn", "MaskRCNN": "maskrcnn", "CascadeRCNN": "cascade_rcnn", "RetinaNet": "retinanet",
    "FCOS": "fcos",
}  # fmt: skip

#: How many levels the pyramids of detectors have.
_N_LEVELS = 5


def find_settings(config: Json) -> tuple[Json, list[str]]:
    """Return what a configuration says of a detector.

    Args:
        config (dict): From `weights_convert.config_files.read_config`.

    Returns:
        tuple: Arguments, of any builder, with ``rules`` where an mmdetection's style says which; and sentences on what
        our builders do otherwise.
    """
    is_detectron2 = isinstance(config.get("MODEL"), dict)
    settings = _detectron2(config) if is_detectron2 else _mmdetection(config)
    given = ((key, _at(config, key), fixed) for key, fixed in _FIXED.items())
    other = [f"{key} is {value!r}, computed as {fixed!r}" for key, value, fixed in given if value not in (None, fixed)]
    settings = {key: value for key, value in settings.items() if value is not None}
    other += _other_anchors(_mapping(_at(config, "MODEL.ANCHOR_GENERATOR")), settings) if is_detectron2 else []
    return settings, other


def find_architecture(config: Json) -> tuple[str, int | None]:
    """Return which detector a configuration is of.

    Args:
        config (dict): See `find_settings`.

    Returns:
        tuple: How its builder's name begins, empty if that is not known, and the depth of its ResNet or ``None``.
    """
    backbone = _at(config, "MODEL.BACKBONE.NAME") or _at(config, "model.backbone.type")
    depth = _at(config, "MODEL.RESNETS.DEPTH") or _at(config, "model.backbone.depth")
    is_resnet = backbone is None or "resne" in str(backbone).lower()
    name = _DETECTORS.get(str(_at(config, "model.type") or _at(config, "MODEL.META_ARCHITECTURE")), "")
    has_mask = _at(config, "MODEL.MASK_ON") or _at(config, "model.roi_head.mask_head") or _at(config, "model.mask_head")
    if _at(config, "MODEL.META_ARCHITECTURE") == "GeneralizedRCNN":
        is_cascade = _at(config, "MODEL.ROI_HEADS.NAME") == "CascadeROIHeads"
        other = "keypointrcnn" if _at(config, "MODEL.KEYPOINT_ON") else "maskrcnn" if has_mask else "fasterrcnn"
        name = "cascade_rcnn" if is_cascade else other
    name = "cascade_mask_rcnn" if name == "cascade_rcnn" and has_mask else name
    return name, depth if is_resnet and type(depth) is int else None


def _at(values: Any, path: str) -> Any:
    """Return what is at a path of keys with dots between them, or None."""
    for key in path.split("."):
        if isinstance(values, list) and key.isdecimal():
            values = values[int(key)] if int(key) < len(values) else None
        else:
            values = values.get(key) if isinstance(values, dict) else None
    return values


def detectron2_settings(arguments: Json) -> list[str]:
    """Return what detectron2's configuration has to say of a detector of these arguments, a key and a value each."""
    return [f"{key} {arguments[names[0]]!r}" for key, names in _DETECTRON2.items() if names[0] in arguments]


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _renamed(values: Json, table: Mapping[str, tuple[str, ...]]) -> Json:
    found = ((_at(values, path), names) for path, names in table.items())
    return {name: value for value, names in found if value is not None for name in names}


def _detectron2(config: Json) -> Json:
    settings = _renamed(config, _DETECTRON2)
    if _at(config, "MODEL.RESNETS.NORM") == "GN":
        settings["norm"] = "group"
    ratios = _at(config, "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS")
    if isinstance(ratios, list) and any(level != ratios[0] for level in ratios):
        settings["aspect_ratios"] = None  # of each level its own
    if isinstance(sizes := settings.get("anchor_sizes"), list) and len(sizes) == 1:
        settings["anchor_sizes"] = sizes * _N_LEVELS  # as detectron2 takes one list
    for name in ("anchor_sizes", "aspect_ratios"):
        if not _is_nested(settings.get(name), _N_LEVELS if name == "anchor_sizes" else None):
            settings.pop(name, None)
    return settings


def _other_anchors(given: Json, settings: Json) -> list[str]:
    """Return sentences on anchors that our builders do not make."""
    ratios, same = given.get("ASPECT_RATIOS"), settings.get("aspect_ratios")
    others = []
    if given.get("SIZES") and "anchor_sizes" not in settings:
        others.append(f"SIZES is {given['SIZES']!r}, not a list for each of {_N_LEVELS} levels")
    if isinstance(ratios, list) and any(level != same for level in ratios):
        others.append(f"ASPECT_RATIOS is {ratios!r}, not one list for all levels")
    return [f"MODEL.ANCHOR_GENERATOR.{text}: not taken" for text in others]


def _is_nested(value: Any, n: int | None) -> bool:
    """Return whether a value is a list: of ``n`` lists, or of numbers."""
    items = value if isinstance(value, list) else []
    if n is None:
        return bool(items) and all(isinstance(item, (int, float)) for item in items)
    return len(items) == n and all(_is_nested(item, None) for item in items)


def _mmdetection(config: Json) -> Json:
    model = _mapping(config.get("model"))
    settings = _renamed({"test_cfg": config.get("test_cfg"), **model}, _MMDETECTION)
    pipelines = ("test_pipeline", "test_dataloader.dataset.pipeline", "data.test.pipeline")
    steps = list(_steps(next((found for path in pipelines if (found := _at(config, path))), [])))
    settings |= _input(_mapping(model.get("data_preprocessor") or config.get("data_preprocessor")), steps)
    generators = (_mapping(_at(model, f"{head}.anchor_generator")) for head in ("rpn_head", "bbox_head"))
    settings |= next((found for generator in generators if (found := _anchors(generator))), {})
    settings |= _coders(_at(model, "roi_head.bbox_head"))
    if _at(model, "backbone.style") == "caffe":
        settings["rules"] = "mmdetection_caffe"
    return settings


def _steps(pipeline: Any) -> Iterator[Json]:
    """Yield the steps of a pipeline, those inside of others, too."""
    for step in pipeline if isinstance(pipeline, list) else ():
        if isinstance(step, dict):
            yield step
            yield from _steps(step.get("transforms"))


def _input(preprocessor: Json, steps: list[Json]) -> Json:
    given = next((step for step in steps if step.get("type") == "Normalize"), preprocessor)
    settings = {"image_mean": given.get("mean"), "image_std": given.get("std")}
    is_rgb = given.get("bgr_to_rgb", given.get("to_rgb"))
    settings["channel_order"] = None if is_rgb is None else "RGB" if is_rgb else "BGR"
    scales = (step.get("scale", step.get("img_scale")) for step in steps)
    pairs: list[Any] = [scale for scale in scales if _is_nested(scale, None)]
    found = next((pair for pair in pairs if len(pair) == 2), None)
    return settings | ({} if found is None else {"min_size": min(found), "max_size": max(found)})


def _anchors(generator: Json) -> Json:
    strides: Any = generator.get("strides")
    scales, n, base = (generator.get(key) for key in ("scales", "scales_per_octave", "octave_base_scale"))
    if isinstance(base, (int, float)) and isinstance(n, int) and n <= 16:
        scales = [base * 2 ** (i / n) for i in range(n)]
    if not _is_nested(strides, None) or not isinstance(scales, list) or not _is_nested(scales, None):
        return {}
    sizes = [[scale * stride for scale in scales] for stride in strides]
    return {"anchor_sizes": sizes, "aspect_ratios": generator.get("ratios")}


def _coders(heads: Any) -> Json:
    """Return the weights of the box coders of one head or of several: one over the standard deviations."""
    stds = [_at(head, "bbox_coder.target_stds") for head in (heads if isinstance(heads, list) else [heads])]
    if not all(_is_nested(std, None) and all(std) for std in stds):
        return {}
    weights = [[1 / value for value in std] for std in stds]
    return {"cascade_bbox_reg_weights": weights} if isinstance(heads, list) else {"bbox_reg_weights": weights[0]}
