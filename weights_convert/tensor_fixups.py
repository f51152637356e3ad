"""What names cannot convert: numeric fixups, each reported, each with its reason.

A fixup takes ``{torchvision's name: Tensor}`` and the report, and gives the tensors back, a few of them replaced.
"""

import re
from collections.abc import Callable

import numpy as np

from chainfpn.models.registry import IMAGENET_STD
from weights_convert._typing import AnyShapes, Array, Tensors
from weights_convert.read.tensor import Tensor, from_array
from weights_convert.report import Report

#: Of the norms that Caffe2 has folded into weight and bias: what leaves them so, with the usual epsilon.
_FOLDED = {"running_mean": 0.0, "running_var": 1 - 1e-5}

_NORM = r"(?:backbone\.body\.)?(?:bn1|layer\d\.\d+\.(?:bn\d|downsample\.1))\.weight"

#: Beginnings of the names of predictors; those of a cascade have the number of their stage in them.
_CLS = r"roi_heads\.(?:\d+\.)?box_predictor\.cls_score\."
_BOX = r"roi_heads\.(?:\d+\.)?box_predictor\.bbox_pred\."
_MASK = r"roi_heads\.(?:\d+\.)?mask_predictor\.mask_fcn_logits\."
_RPN_BOX = r"rpn\.head\.bbox_pred\."
_STEM = r"(?:backbone\.body\.)?conv1\."


def background_first(tensors: Tensors, report: Report) -> Tensors:
    """Move the background from the last output of the class scores to the first, where torchvision has it."""
    text = "background class moved from last to first"
    return _replace(tensors, report, text, _CLS, lambda a: np.concatenate([a[-1:], a[:-1]]))


def background_box_rows(tensors: Tensors, report: Report) -> Tensors:
    """Put four rows of zeros before the boxes: torchvision has a box for the background, and ignores it.

    One box for all classes, which a cascade has, has no such rows.
    """
    n_outputs = _length(tensors, _CLS)
    if n_outputs is None:
        return tensors
    text, is_cascade = "box rows of zeros added for the background", any(n.startswith("roi_heads.0.") for n in tensors)
    if _length(tensors, _BOX) == 4 * (n_outputs - 1) and not is_cascade:
        tensors = _replace(tensors, report, text, _BOX, lambda a: _zeros_before(a, 4))
    if _length(tensors, _MASK) == n_outputs - 1:
        text = "a mask of zeros added for the background"
        tensors = _replace(tensors, report, text, _MASK, lambda a: _zeros_before(a, 1))
    return tensors


def background_first_unless_it_is(tensors: Tensors, report: Report) -> Tensors:
    """Move the background of mmdetection 1.x where it is last: there boxes have no rows for it."""
    n_outputs = _length(tensors, _CLS)
    if n_outputs is not None and _length(tensors, _BOX) == 4 * n_outputs:
        report.notes.append("boxes have rows for the background: mmdetection 1.x, background first already")
        return tensors
    return background_box_rows(background_first(tensors, report), report)


def background_last(tensors: Tensors, report: Report) -> Tensors:
    """Undo `background_first` and `background_box_rows`: the way back to where they are from."""
    n_outputs = _length(tensors, _CLS)
    if n_outputs is None:
        return tensors
    text = "background class moved from first to last, boxes and masks have none"
    tensors = _replace(tensors, report, text, _CLS, lambda a: np.concatenate([a[1:], a[:1]]))
    if _length(tensors, _BOX) == 4 * n_outputs:
        tensors = _replace(tensors, report, "", _BOX, lambda a: a[4:])
    if _length(tensors, _MASK) == n_outputs:
        tensors = _replace(tensors, report, "", _MASK, lambda a: a[1:])
    return tensors


def fill_folded_norms(tensors: Tensors, report: Report) -> Tensors:
    """Give norms without statistics those that leave their weight and bias what they are, as Caffe2 folded them."""
    norms = [name.removesuffix("weight") for name in tensors if re.fullmatch(_NORM, name)]
    norms = [norm for norm in norms if f"{norm}running_mean" not in tensors and tensors[f"{norm}weight"].shape]
    if not norms:
        return tensors
    report.notes.append(
        f"{len(norms)} norms have no statistics, as Caffe2 folds them: mean 0 and variance 1 - 1e-5 added; of group "
        "normalization, which has none either, a --config or --meta norm=group must tell"
    )
    added = {
        f"{norm}{name}": from_array(np.full(tensors[f"{norm}weight"].shape, value, np.float32))
        for norm in norms
        for name, value in _FOLDED.items()
    }
    return {**tensors, **added}


def fill_last_norm(tensors: Tensors, report: Report) -> Tensors:
    """Give a Swin Transformer's features the norm behind them, which is no part of them and which no detector uses."""
    norms = [name for name in tensors if re.fullmatch(r"features\.\d+\.\d+\.norm2\.weight", name)]
    if not norms:
        return tensors
    shape = max(tensors[name].shape for name in norms)
    report.notes.append("the norm behind the features is not in the file: weight 1 and bias 0 added")
    added = {"norm.weight": np.ones(shape, np.float32), "norm.bias": np.zeros(shape, np.float32)}
    return {**tensors, **{name: from_array(array) for name, array in added.items()}}


def flip_bgr(tensors: Tensors, report: Report) -> Tensors:
    """Reverse the input channels of the first convolution: from BGR to torchvision's RGB."""
    return _replace(tensors, report, "first convolution flipped from BGR to RGB", _STEM, lambda a: a[:, ::-1])


def fold_caffe_scale(tensors: Tensors, report: Report) -> Tensors:
    """Scale the first convolution for torchvision's input.

    Caffe's models see ``255 * image - mean``, torchvision's ``(image - mean / 255) / std``: the first is ``255 * std``
    times the second, channel by channel, and both pad with zeros afterwards. A ResNeXt sees torchvision's.
    """
    if is_grouped({name: tensor.shape for name, tensor in tensors.items()}):
        return tensors
    scale = 255 * np.array(IMAGENET_STD, np.float64).reshape(1, 3, 1, 1)
    text = "input scale 255 * (0.229, 0.224, 0.225) folded into the first convolution"
    return _replace(tensors, report, text, _STEM, lambda a: (a * scale).astype(a.dtype))


def is_grouped(shapes: AnyShapes) -> bool:
    """Return whether the trunk is a ResNeXt."""
    found = (shapes.get(f"{at}layer1.0.conv2.weight", ()) for at in ("", "body.", "backbone.body."))
    return any(len(shape) == 4 and shape[0] != shape[1] for shape in found)


#: What makes torchvision's input of Caffe's: BGR in 0..255 minus the mean.
CAFFE_INPUT = (flip_bgr, fold_caffe_scale)


def box_axes_xy(tensors: Tensors, report: Report) -> Tensors:
    """Turn box rows from (dy, dx, dh, dw) into torchvision's (dx, dy, dw, dh)."""
    for name, pattern in (("roi_heads.box_predictor.bbox_pred", _BOX), ("rpn.head.bbox_pred", _RPN_BOX)):
        text = f"rows of {name} turned from dy, dx, dh, dw to dx, dy, dw, dh"
        tensors = _replace(tensors, report, text, pattern, _swap_axes)
    return tensors


def stem_bias_into_norm(tensors: Tensors, report: Report) -> Tensors:
    """Fold the bias of the first convolution into the mean of the norm after it; torchvision has no such bias."""
    stem = "backbone.body.conv1." if "backbone.body.conv1.weight" in tensors else "conv1."
    mean = stem.replace("conv1.", "bn1.") + "running_mean"
    bias, mean_tensor = tensors.get(f"{stem}bias"), tensors.get(mean)
    if not (isinstance(bias, Tensor) and isinstance(mean_tensor, Tensor) and bias.shape == mean_tensor.shape):
        return tensors
    report.notes.append("bias of the first convolution folded into the mean of its batch norm")
    result = {name: tensor for name, tensor in tensors.items() if name != f"{stem}bias"}
    return result | {mean: from_array(mean_tensor.array() - bias.array())}


def _length(tensors: Tensors, pattern: str) -> int | None:
    biases = [tensors[name] for name in tensors if re.fullmatch(pattern + "bias", name)]
    return next((bias.shape[0] for bias in biases if bias.shape), None)


def _zeros_before(array: Array, n: int) -> Array:
    return np.concatenate([np.zeros((n, *array.shape[1:]), array.dtype), array])


def _swap_axes(array: Array) -> Array:
    if len(array) % 4:
        return array
    return array.reshape(len(array) // 4, 4, *array.shape[1:])[:, [1, 0, 3, 2]].reshape(array.shape)


def _replace(tensors: Tensors, report: Report, text: str, pattern: str, function: Callable[[Array], Array]) -> Tensors:
    """Replace the weights and biases of modules whose names begin so, and put down the text if there are any."""
    names = [name for name in tensors if re.fullmatch(f"{pattern}(?:weight|bias)", name)]
    present = [name for name in names if tensors[name].shape]
    if pattern == _STEM:
        present = [name for name in present if len(tensors[name].shape) == 4 and tensors[name].shape[1] == 3]
    if not present:
        return tensors
    report.notes += [text] if text else []
    return tensors | {name: from_array(function(tensors[name].array())) for name in present}
