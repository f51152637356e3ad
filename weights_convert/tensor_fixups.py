"""What names cannot convert: numeric fixups, each reported, each with its reason.

A fixup takes ``{torchvision's name: Tensor}`` and the report, and gives the tensors back, a few of them replaced.
"""

from collections.abc import Callable

import numpy as np

from weights_convert._typing import Array, Tensors
from weights_convert.known_models import IMAGENET_STD
from weights_convert.read.tensor import Tensor, from_array
from weights_convert.report import Report

#: A logit whose probability is zero in any precision.
_NEVER = -100

_CLS = "roi_heads.box_predictor.cls_score."
_BOX = "roi_heads.box_predictor.bbox_pred."
_MASK = "roi_heads.mask_predictor.mask_fcn_logits."


def background_first(tensors: Tensors, report: Report) -> Tensors:
    """Move the background from the last output of the class scores to the first, where torchvision has it."""
    return _replace(
        tensors, report, "background class moved from last to first", _CLS, lambda a: np.concatenate([a[-1:], a[:-1]])
    )


def background_box_rows(tensors: Tensors, report: Report) -> Tensors:
    """Put four rows of zeros before the boxes: torchvision has a box for the background, and ignores it."""
    n_outputs = _length(tensors, f"{_CLS}bias")
    if n_outputs is None or _length(tensors, f"{_BOX}bias") != 4 * (n_outputs - 1):
        return tensors
    tensors = _replace(
        tensors, report, "box rows of zeros added for the background", _BOX, lambda a: _zeros_before(a, 4)
    )
    if _length(tensors, f"{_MASK}bias") == n_outputs - 1:
        text = "a mask of zeros added for the background"
        tensors = _replace(tensors, report, text, _MASK, lambda a: _zeros_before(a, 1))
    return tensors


def background_logit(tensors: Tensors, report: Report) -> Tensors:
    """Put the score of a background, which is never the best, before those of the labels, for each anchor of RetinaNet.

    torchvision has such an output, and no use for it.
    """
    head, box = "head.classification_head.cls_logits.", "head.regression_head.bbox_reg.bias"
    n_anchors = (_length(tensors, box) or 0) // 4
    n_rows = _length(tensors, f"{head}bias")
    if not n_anchors or n_rows is None or n_rows % n_anchors:
        return tensors

    def with_background(array: Array) -> Array:
        rows = array.reshape(n_anchors, -1, *array.shape[1:])
        never = np.full_like(rows[:, :1], _NEVER if array.ndim == 1 else 0)
        return np.concatenate([never, rows], axis=1).reshape(-1, *array.shape[1:])

    return _replace(tensors, report, "a logit of -100 added for the background of each anchor", head, with_background)


def flip_bgr(tensors: Tensors, report: Report) -> Tensors:
    """Reverse the input channels of the first convolution: from BGR to torchvision's RGB."""
    return _replace(tensors, report, "first convolution flipped from BGR to RGB", _stem(tensors), lambda a: a[:, ::-1])


def fold_caffe_scale(tensors: Tensors, report: Report) -> Tensors:
    """Scale the first convolution for torchvision's input.

    Caffe's models see ``255 * image - mean``, torchvision's ``(image - mean / 255) / std``: the first is ``255 * std``
    times the second, channel by channel, and both pad with zeros afterwards.
    """
    scale = 255 * np.array(IMAGENET_STD, np.float64).reshape(1, 3, 1, 1)
    text = "input scale 255 * (0.229, 0.224, 0.225) folded into the first convolution"
    return _replace(tensors, report, text, _stem(tensors), lambda a: (a * scale).astype(a.dtype))


#: What makes torchvision's input of Caffe's: BGR in 0..255 minus the mean.
CAFFE_INPUT = (flip_bgr, fold_caffe_scale)


def box_axes_xy(tensors: Tensors, report: Report) -> Tensors:
    """Turn box rows from (dy, dx, dh, dw) into torchvision's (dx, dy, dw, dh)."""
    for name in (_BOX, "rpn.head.bbox_pred."):
        text = f"rows of {name.removesuffix('.')} turned from dy, dx, dh, dw to dx, dy, dw, dh"
        tensors = _replace(tensors, report, text, name, _swap_axes)
    return tensors


def stem_bias_into_norm(tensors: Tensors, report: Report) -> Tensors:
    """Fold the bias of the first convolution into the mean of the norm after it; torchvision has no such bias."""
    stem = _stem(tensors)
    bias = tensors.get(f"{stem}bias")
    mean = stem.replace("conv1.", "bn1.") + "running_mean"
    if not isinstance(bias, Tensor) or not isinstance(tensors.get(mean), Tensor):
        return tensors
    report.notes.append("bias of the first convolution folded into the mean of its batch norm")
    result = {name: tensor for name, tensor in tensors.items() if name != f"{stem}bias"}
    return result | {mean: from_array(tensors[mean].array() - bias.array())}


def _stem(tensors: Tensors) -> str:
    return "backbone.body.conv1." if "backbone.body.conv1.weight" in tensors else "conv1."


def _length(tensors: Tensors, name: str) -> int | None:
    tensor = tensors.get(name)
    return tensor.shape[0] if isinstance(tensor, Tensor) and tensor.shape else None


def _zeros_before(array: Array, n: int) -> Array:
    return np.concatenate([np.zeros((n, *array.shape[1:]), array.dtype), array])


def _swap_axes(array: Array) -> Array:
    if len(array) % 4:
        return array
    return array.reshape(-1, 4, *array.shape[1:])[:, [1, 0, 3, 2]].reshape(array.shape)


def _replace(tensors: Tensors, report: Report, text: str, prefix: str, function: Callable[[Array], Array]) -> Tensors:
    names = [f"{prefix}{param}" for param in ("weight", "bias")]
    present = [name for name in names if isinstance(tensors.get(name), Tensor) and tensors[name].shape]
    if prefix.endswith("conv1."):
        present = [name for name in present if len(tensors[name].shape) == 4 and tensors[name].shape[1] == 3]
    if not present:
        return tensors
    report.notes.append(text)
    return tensors | {name: from_array(function(tensors[name].array())) for name in present}
