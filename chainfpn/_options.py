"""Attributes that are checked whenever they are set: by the constructor, or later."""

import math
from collections.abc import Callable, Sequence
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


_IOU = Rule("in 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
_NUMBER = Rule("a number", is_number)
_FRACTION = Rule("> 0 and <= 1", lambda value: is_number(value) and 0 < value <= 1)
_POSITIVE = Rule("> 0", lambda value: is_number(value) and 0 < value < math.inf)
_NON_NEGATIVE = Rule(">= 0", lambda value: is_number(value) and 0 <= value < math.inf)
_COUNT = Rule("a whole number >= 1", is_count)
_LIMIT = Rule("None or a whole number >= 1", lambda value: value is None or is_count(value))
_FLAG = Rule("True or False", lambda value: isinstance(value, bool))

#: The rule of each attribute, whichever part of a detector it is of.
RULES = {
    **dict.fromkeys(("fg_iou_thresh", "bg_iou_thresh", "iou_thresh", "nms_thresh"), _IOU),
    **dict.fromkeys(("batch_size_per_image", "outsize", "size_divisible", "topk_candidates"), _COUNT),
    **{f"{when}_nms_top_n_{mode}": _COUNT for when in ("pre", "post") for mode in ("train", "test")},
    **dict.fromkeys(("detections_per_img", "n_roi_levels"), _LIMIT),
    **dict.fromkeys(("inclusive", "clip_to_batch", "clip_before_nms", "rank_by_class", "average_logits"), _FLAG),
    **dict.fromkeys(("aligned", "nms_in_photograph", "keypoint_probabilities"), _FLAG),
    "min_low_quality_iou": Rule("None or in 0 to 1", lambda value: value is None or _IOU.obeys(value)),
    "min_log_scale": Rule("None or a number <= 0", lambda value: value is None or (is_number(value) and value <= 0)),
    "mean": Rule("three numbers", _tuple_of(3, is_number)),
    "std": Rule("three numbers > 0", _tuple_of(3, _POSITIVE.obeys)),
    "score_thresh": _NUMBER,
    "positive_fraction": _FRACTION,
    "center_sampling_radius": _POSITIVE,
    **dict.fromkeys(("min_size", "smooth_l1_beta"), _NON_NEGATIVE),
    "sampling_ratio": Rule("a whole number", lambda value: isinstance(value, Integral)),
    "stage_loss_weights": Rule(
        "numbers >= 0", lambda value: isinstance(value, Sequence) and all(map(_NON_NEGATIVE.obeys, value))
    ),
    "bbox_reg_weights": Rule("four numbers > 0", _tuple_of(4, _POSITIVE.obeys)),
    "channel_order": Rule("RGB or BGR", lambda value: value in ("RGB", "BGR")),
    "box_loss": Rule("one of l1, giou", lambda value: value in ("l1", "giou")),
    "fixed_size": Rule("None or two whole numbers >= 1", lambda value: value is None or _tuple_of(2, is_count)(value)),
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
