"""What the options of builders must be: checked by the builder, and by the converter, which has no Chainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from chainfpn._options import RULES, Rule, check_iou_thresholds, is_count, is_number
from chainfpn.errors import InvalidArgument

#: Whose rules a detector follows around its weights. mmdetection has two styles; the second has Caffe's input.
RULE_SETS = ("torchvision", "chainercv", "detectron2", "mmdetection", "mmdetection_caffe")

#: What may follow the levels of a pyramid.
EXTRA_LEVELS = ("pool", "p6p7", "none")

#: What stands before the attribute of a head or of the preprocess in the name of a setting.
_PARTS = ("rpn_", "box_", "image_")


def _all(kind: Callable[[Any], bool], value: Any) -> bool:
    several = isinstance(value, Collection) and not isinstance(value, (str, bytes, dict))
    return several and len(value) > 0 and all(map(kind, value))


def _positive(value: Any) -> bool:
    return is_number(value) and 0 < value < math.inf


def _whole(value: Any) -> bool:
    return is_count(value) or (is_number(value) and value == 0)


def _levels(value: Any) -> bool:
    return _all(lambda level: _all(_positive, level), value) and len({len(level) for level in value}) == 1


def _one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words)


_COUNT = RULES["outsize"]
_FLAG = RULES["inclusive"]
_OPTIONAL_FLAG = Rule("None, True or False", lambda value: value is None or isinstance(value, bool))
_COUNTS = Rule("whole numbers >= 1", lambda value: _all(is_count, value))
_SHARE = Rule("in 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)

#: The rule of each option that is no attribute of a head.
OPTIONS = {
    **dict.fromkeys(("fpn_channels", "head_channels", "n_keypoint", "mask_dim_reduced", "image_size"), _COUNT),
    **dict.fromkeys(("fpn_norm", "reduced_tail", "align_corners"), _FLAG),
    **dict.fromkeys(("aux_logits", "transform_input", "zero_init_residual"), _FLAG),
    **dict.fromkeys(("mask_layers", "keypoint_layers"), _COUNTS),
    "cascade_iou_thresh": Rule("numbers in 0 to 1, one per stage", lambda value: _all(_SHARE.obeys, value)),
    "cascade_bbox_reg_weights": Rule(
        "None or, per stage, four numbers > 0",
        lambda value: value is None or _all(RULES["bbox_reg_weights"].obeys, value),
    ),
    "n_mask_heads": _COUNT,
    **dict.fromkeys(("dropout", "drop_rate", "stochastic_depth_prob"), _SHARE),
    "n_fg_class": Rule("None or a whole number >= 1", lambda value: value is None or is_count(value)),
    "n_class": Rule("a whole number >= 0", _whole),
    "n_stages": Rule("in 1 to 4", lambda value: is_count(value) and value <= 4),
    **dict.fromkeys(("score_thresh", "box_score_thresh", "rpn_score_thresh"), _SHARE),
    "width_mult": Rule("> 0", _positive),
    **dict.fromkeys(("stride_in_1x1", "p6_from_trunk", "p7_relu"), _OPTIONAL_FLAG),
    "norm_eps": Rule("a number >= 0", lambda value: is_number(value) and 0 <= value < math.inf),
    "max_size": Rule("> 0", _positive),
    "min_size": Rule("> 0 and <= max_size", lambda value: _positive(value) or _all(_positive, value)),
    "aspect_ratios": Rule("numbers > 0, not empty", lambda value: _all(_positive, value)),
    "anchor_sizes": Rule("None or, per level, equally many numbers > 0", lambda value: value is None or _levels(value)),
    "class_ids": Rule("None or whole numbers", lambda value: value is None or _all(_whole, value)),
    "keypoint_names": Rule(
        "None or names", lambda value: value is None or _all(lambda name: isinstance(name, str), value)
    ),
    "rules": _one_of(*RULE_SETS),
    "extra_levels": _one_of(*EXTRA_LEVELS),
}


#: Of each part that samples boxes: the smallest IoU of a positive and the largest of a background box, torchvision's.
_IOU_THRESHOLDS = {"rpn_": (0.7, 0.3), "box_": (0.5, 0.5), "": (0.5, 0.4)}


def check_option(where: str, name: str, value: Any) -> None:
    """Check an option by its rule, if it has one.

    Args:
        where (str): The builder.
        name (str): The option.
        value (object): Its value.

    Raises:
        InvalidArgument: if the value breaks the rule.
    """
    attribute = next((name.removeprefix(part) for part in _PARTS if name.startswith(part)), name)
    rule = OPTIONS.get(name) or RULES.get(attribute)
    if rule is not None and not rule.obeys(value):
        raise InvalidArgument(where, name, rule.words, value)


def check_settings(where: str, settings: Mapping[str, Any]) -> None:
    """Check settings beside each other: no box may be foreground and background at once.

    Args:
        where (str): The builder.
        settings (mapping): Numbers of heads, by torchvision's names.

    Raises:
        InvalidArgument: if a box could be.
    """
    for part, defaults in _IOU_THRESHOLDS.items():
        fg, bg = (settings.get(f"{part}{kind}_iou_thresh", n) for kind, n in zip(("fg", "bg"), defaults, strict=True))
        check_iou_thresholds(where, fg, bg)
