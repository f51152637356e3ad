"""What attributes and the options of builders must be; without Chainer, for the converter asks it, too."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from chainfpn.errors import InvalidArgument


class Rule(NamedTuple):
    """What a value must be.

    Attributes:
        words (str): The rule as it reads after "must be".
        obeys (callable): Value to bool.
    """

    words: str
    obeys: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Return whether a value is a real number, and not NaN."""
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def is_count(value: Any) -> bool:
    """Return whether a value is a whole number of 1 or more."""
    return is_number(value) and isinstance(value, Integral) and int(value) >= 1


def _tuple_of(n, kind):
    return lambda value: isinstance(value, Sequence) and len(value) == n and all(map(kind, value))


def _optional(rule: Rule) -> Rule:
    return Rule(f"None or {rule.words}", lambda value: value is None or rule.obeys(value))


def _one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words)


_SHARE = Rule("in 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
_FRACTION = Rule("> 0 and <= 1", lambda value: is_number(value) and 0 < value <= 1)
_POSITIVE = Rule("> 0", lambda value: is_number(value) and 0 < value < math.inf)
_NON_NEGATIVE = Rule(">= 0", lambda value: is_number(value) and 0 <= value < math.inf)
_COUNT = Rule("a whole number >= 1", is_count)
_FLAG = Rule("True or False", lambda value: isinstance(value, bool))

#: The rule of each attribute, whichever part of a detector it is of.
RULES = {
    **dict.fromkeys(("fg_iou_thresh", "bg_iou_thresh", "iou_thresh", "nms_thresh"), _SHARE),
    **dict.fromkeys(("batch_size_per_image", "outsize", "size_divisible", "topk_candidates"), _COUNT),
    **{f"{when}_nms_top_n_{mode}": _COUNT for when in ("pre", "post") for mode in ("train", "test")},
    **dict.fromkeys(("detections_per_img", "n_roi_levels"), _optional(_COUNT)),
    **dict.fromkeys(("inclusive", "clip_to_batch", "clip_before_nms", "rank_by_class", "average_logits"), _FLAG),
    **dict.fromkeys(("aligned", "nms_in_photograph", "keypoint_probabilities"), _FLAG),
    "min_low_quality_iou": _optional(_SHARE),
    "min_log_scale": _optional(Rule("a number <= 0", lambda value: is_number(value) and value <= 0)),
    "mean": Rule("three numbers", _tuple_of(3, is_number)),
    "std": Rule("three numbers > 0", _tuple_of(3, _POSITIVE.obeys)),
    "score_thresh": Rule("a number", is_number),
    "positive_fraction": _FRACTION,
    "center_sampling_radius": _POSITIVE,
    **dict.fromkeys(("min_size", "smooth_l1_beta"), _NON_NEGATIVE),
    "sampling_ratio": Rule("a whole number", lambda value: isinstance(value, Integral)),
    "stage_loss_weights": Rule(
        "numbers >= 0", lambda value: isinstance(value, Sequence) and all(map(_NON_NEGATIVE.obeys, value))
    ),
    "bbox_reg_weights": Rule("four numbers > 0", _tuple_of(4, _POSITIVE.obeys)),
    "channel_order": Rule("RGB or BGR", lambda value: value in ("RGB", "BGR")),
    "box_loss": _one_of("l1", "giou"),
    "fixed_size": _optional(Rule("two whole numbers >= 1", _tuple_of(2, is_count))),
}


class CheckedOptions:
    """Base of classes whose attributes obey :data:`RULES`.

    Raises:
        InvalidArgument: if an attribute is set to what breaks its rule.
    """

    def __setattr__(self, name, value):
        if name in RULES and not RULES[name].obeys(value):
            raise InvalidArgument(type(self).__name__, name, RULES[name].words, value)
        super().__setattr__(name, value)


def check_iou_thresholds(where: str, fg_iou_thresh: float, bg_iou_thresh: float) -> None:
    """Check that no IoU is both that of a positive and of a background box.

    Args:
        where (str): The function or class, for the message.
        fg_iou_thresh (float): Smallest IoU of a positive.
        bg_iou_thresh (float): IoU below which a box is background.

    Raises:
        InvalidArgument: if not bg_iou_thresh <= fg_iou_thresh.
    """
    if not bg_iou_thresh <= fg_iou_thresh:
        got = f"{bg_iou_thresh!r} and {fg_iou_thresh!r}"
        raise InvalidArgument(where, "bg_iou_thresh", "<= fg_iou_thresh", bg_iou_thresh, got=got)


#: Normalizations that have a name.
NORMS = ("frozen", "batch", "group")

#: What stands before the attribute of a head or of the preprocess in the name of a setting.
_PARTS = ("rpn_", "box_", "image_")


def _all(kind: Callable[[Any], bool], value: Any) -> bool:
    several = isinstance(value, Collection) and not isinstance(value, (str, bytes, dict))
    return several and len(value) > 0 and all(map(kind, value))


def _whole(value: Any) -> bool:
    return is_count(value) or (is_number(value) and value == 0)


def _is_levels(value: Any) -> bool:
    return _all(lambda level: _all(_POSITIVE.obeys, level), value) and len({len(level) for level in value}) == 1


_OPTIONAL_FLAG = Rule("None, True or False", lambda value: value is None or isinstance(value, bool))
_COUNTS = Rule("whole numbers >= 1", lambda value: _all(is_count, value))

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
    "n_fg_class": _optional(_COUNT),
    "n_class": Rule("a whole number >= 0", _whole),
    "n_stages": Rule("in 1 to 4", lambda value: is_count(value) and value <= 4),
    **dict.fromkeys(("score_thresh", "box_score_thresh", "rpn_score_thresh"), _SHARE),
    **dict.fromkeys(("width_mult", "max_size"), _POSITIVE),
    **dict.fromkeys(("stride_in_1x1", "p6_from_trunk", "p7_relu"), _OPTIONAL_FLAG),
    "norm": Rule(
        f"callable or one of {', '.join(NORMS)}", lambda value: value is None or callable(value) or value in NORMS
    ),
    "norm_eps": Rule("a number >= 0", _NON_NEGATIVE.obeys),
    "min_size": Rule("> 0 and <= max_size", lambda value: _POSITIVE.obeys(value) or _all(_POSITIVE.obeys, value)),
    "aspect_ratios": Rule("numbers > 0, not empty", lambda value: _all(_POSITIVE.obeys, value)),
    "anchor_sizes": Rule(
        "None or, per level, equally many numbers > 0", lambda value: value is None or _is_levels(value)
    ),
    "class_ids": _optional(Rule("whole numbers", lambda value: _all(_whole, value))),
    "keypoint_names": _optional(Rule("names", lambda value: _all(lambda name: isinstance(name, str), value))),
    # mmdetection has two styles; the second has Caffe's input
    "rules": _one_of("torchvision", "chainercv", "detectron2", "mmdetection", "mmdetection_caffe"),
    "extra_levels": _one_of("pool", "p6p7", "none"),
}


#: Of each part that samples boxes: the smallest IoU of a positive and the largest of a background box, torchvision's.
_IOU_THRESHOLDS = {"rpn_": (0.7, 0.3), "box_": (0.5, 0.5), "": (0.5, 0.4)}


def check_option(where: str, name: str, value: Any) -> None:
    """Raise an InvalidArgument if the value of a builder's option breaks its rule, if it has one."""
    attribute = next((name.removeprefix(part) for part in _PARTS if name.startswith(part)), name)
    rule = OPTIONS.get(name) or RULES.get(attribute)
    if rule is not None and not rule.obeys(value):
        raise InvalidArgument(where, name, rule.words, value)


def check_settings(where: str, settings: Mapping[str, Any]) -> None:
    """Raise an InvalidArgument if, by a builder's IoU thresholds, a box could be foreground and background at once."""
    for part, defaults in _IOU_THRESHOLDS.items():
        fg, bg = (settings.get(f"{part}{kind}_iou_thresh", n) for kind, n in zip(("fg", "bg"), defaults, strict=True))
        check_iou_thresholds(where, fg, bg)
