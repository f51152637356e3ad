"""Our side of ``detector_cases``: what each detector makes of the same weights and images."""

import functools

import chainer
import numpy as np
from chainer.backends.cuda import to_cpu

from chainfpn import models
from chainfpn.links import Detector
from reference.classifier_answers import without_initial_values
from reference.detector_cases import BOXES, CASES, GAINS, KUANGLIU_CASES, N_OUTPUT, N_PROPOSALS
from reference.seeded_weights import fill_link, seeded_input

#: Every builder to its case.
ALL = {**CASES, **KUANGLIU_CASES}


@functools.cache
def ours(builder, dtype="float32", device="@numpy"):
    """Run a detector, or a pyramid alone: its answers, named as ``reference.detector_cases.theirs`` does."""
    case = ALL[builder]
    with chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", False):
        link = build_seeded(builder)
        link.to_device(device)
        x = link.xp.asarray(seeded_input(len(case.sizes), 3, *case.sizes[0]).astype(dtype))
        with chainer.no_backprop_mode():
            hs = pyramid(link)(x)
            heads, found = {}, []
            if isinstance(link, Detector):
                heads = dict(_two_stages(link, hs) if hasattr(link, "rpn") else _one_stage(link, hs))
                found = link(x, case.sizes)
    answers = {"parameters": np.array(n_param(link))}
    answers |= {f"{dtype} map{i}": to_cpu(h.array) for i, h in enumerate(hs)}
    answers |= {f"{dtype} {name}": value for name, value in heads.items()}
    for i, detection in enumerate(found):
        values = detection._asdict().items()
        answers |= {f"{dtype} found{i} {name}": to_cpu(value) for name, value in values if value is not None}
    return answers


def pyramid(link):
    """Return the part of a detector that makes its maps; of kuangliu's pyramids, all of it.

    Args:
        link (chainer.Link): The detector or the pyramid.

    Returns:
        chainer.Link: Maps (B, 3, H, W) to levels.
    """
    if not isinstance(link, Detector):
        return link
    return link.fpn if hasattr(link, "fpn") else link.backbone


def n_param(link):
    """Count the parameters of a detector as torchvision does, those of frozen normalizations among them.

    Args:
        link (chainer.Link): The detector.

    Returns:
        int: How many numbers.
    """
    frozen = (child.gamma.size + child.beta.size for child in link.links() if "gamma" in child._persistent)
    return sum(param.size for param in link.params()) + sum(frozen)


def build_seeded(builder):
    """Build a detector with seeded weights, without the time that initial values take.

    Args:
        builder (str): Its name.

    Returns:
        chainer.Link: The detector, with the limits of its case; or the pyramid.
    """
    options = {} if builder.startswith("fpn") else {"n_fg_class": N_OUTPUT - 1}
    with without_initial_values():
        link = getattr(models, builder)(**options)
    fill_link(link, GAINS)
    if hasattr(link, "rpn"):
        link.rpn.post_nms_top_n_test, link.roi_heads.detections_per_img = N_PROPOSALS, ALL[builder].n_detections
    elif hasattr(link, "detections_per_img"):
        link.detections_per_img = ALL[builder].n_detections
    return link


def _one_stage(link, hs):
    names = ("cls_logits", "bbox_regression", "bbox_ctrness")
    for name, levels in zip(names, link.head(hs), strict=False):
        yield name, np.concatenate([to_cpu(level.array) for level in levels], axis=1)


def _two_stages(link, hs):
    for name, levels in zip(("objectness", "rpn_deltas"), link.rpn.head(hs), strict=True):
        yield name, np.concatenate([to_cpu(level.array) for level in levels], axis=1)
    heads, hs, sizes = link.roi_heads, link.roi_levels(hs), CASES[link.meta["model"]].sizes
    bboxes = [link.xp.asarray(np.array(rows, dtype=hs[0].dtype)[:, [1, 0, 3, 2]]) for rows in BOXES]
    logits, deltas = heads(hs, bboxes, sizes)
    yield "class_logits", to_cpu(logits.array)
    yield "box_deltas", to_cpu(deltas.array)
    for name in ("mask", "keypoint"):
        if getattr(heads, f"{name}_head") is not None:
            logits = getattr(heads, f"{name}_branch")(hs, bboxes, sizes)
            yield f"{name}_logits", to_cpu(logits.array)
