"""``__meta__``: what weights cannot say about their model, as a JSON object inside the .npz."""

import ast
import json

import numpy as np

from weights_convert.errors import CheckpointError, printable

FORMAT = 1

#: Class names that go by a name of their own.
LABEL_SETS = ("coco", "imagenet", "voc")

#: Kinds of input a model was trained with: torchvision's, or BGR in 0..255 minus the mean.
INPUTS = ("torchvision", "caffe")

#: Arguments of torchvision's detectors, and those of the same on any ResNet besides.
_FIXED = {"n_fg_class", "class_ids", "norm_eps", "min_size", "max_size", "anchor_sizes", "aspect_ratios"}
_FREE = _FIXED | {"depth", "stages", "fpn_channels", "norm"}

#: What builders take that a file can say: the first of these that the name begins with; of all others ``n_class``.
_ARGUMENTS = {
    "fasterrcnn_mobilenet": _FIXED,
    "fasterrcnn_resnet50": _FIXED | {"stride_in_1x1"},
    "maskrcnn_resnet50": _FIXED | {"stride_in_1x1"},
    "retinanet_resnet50": _FIXED | {"stride_in_1x1"},
    "fcos_resnet50": _FIXED | {"stride_in_1x1"},
    "keypointrcnn_resnet50": _FIXED | {"n_keypoint"},
    "fasterrcnn": _FREE | {"head_channels", "stride_in_1x1", "rules"},
    "maskrcnn": _FREE | {"head_channels", "stride_in_1x1", "rules"},
    "keypointrcnn": _FREE | {"head_channels", "n_keypoint"},
    "retinanet_kuangliu": {"n_fg_class", "align_corners", "image_size"},
    "retinanet": _FREE | {"stride_in_1x1", "p6_from_trunk", "p7_relu"},
    "fcos": _FREE | {"stride_in_1x1", "p6_from_trunk", "p7_relu"},
    "ssd300": {"n_fg_class", "class_ids"},
    "fpn": {"align_corners"},
    "resne": {"n_class", "stride_in_1x1"},
    "wide_resnet": {"n_class", "stride_in_1x1"},
    "googlenet": {"n_class", "aux_logits", "transform_input"},
    "inception": {"n_class", "aux_logits", "transform_input"},
}


def own_meta(contents):
    """Return the ``__meta__`` object of a file that this package wrote, else an empty dict."""
    meta = contents.meta or {}
    if contents.format == "safetensors" and isinstance(meta.get("chainfpn"), str):
        meta = _parse_literal(meta["chainfpn"], json.loads)
    good = isinstance(meta, dict) and meta.get("format") == FORMAT and isinstance(meta.get("arguments"), dict)
    return meta if good else {}


def known_arguments(model):
    """Return the keywords that ``--meta`` may set for a builder."""
    return next((taken for start, taken in _ARGUMENTS.items() if model.startswith(start)), {"n_class"})


def parse_pairs(pairs):
    """Return ``{key: value}`` of ``KEY=VALUE`` texts; a value is JSON, a Python literal, names with commas, or text."""
    result = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise CheckpointError(f"--meta takes KEY=VALUE, got {pair!r}")
        result[key] = _parse_value(key, text)
    return result


def _parse_value(key, text):
    if key == "label_names":
        return text if text in LABEL_SETS else _parse_names(text)
    try:
        return json.loads(text)
    except ValueError:
        return _parse_literal(text)


def _parse_literal(text, parse=ast.literal_eval):
    try:
        return json.loads(json.dumps(parse(text)))
    except (ValueError, SyntaxError, TypeError):
        return text


def _parse_names(text):
    if text.startswith("["):
        try:
            return [str(name) for name in json.loads(text)]
        except ValueError as e:
            raise CheckpointError(
                f"--meta label_names must be coco, imagenet, voc or names with commas, got {text[:40]!r}"
            ) from e
    return [name.strip() for name in text.split(",")]


def make_meta(model, arguments, extra, *, source, sha256, converter):
    """Return the ``__meta__`` object.

    Args:
        model (str or None): The builder.
        arguments (dict): Its arguments as recognised.
        extra (dict): From ``--meta``; ``label_names`` or arguments of the builder.
        source (str): Name of the file the weights came from.
        sha256 (str): Its hash.
        converter (str): Version of this package.

    Raises:
        CheckpointError: if ``extra`` has a key the builder does not take, or names that do not count up.
    """
    arguments, label_names = dict(arguments), None
    if arguments.get("class_ids") is not None and arguments.get("n_fg_class") == 80:
        label_names = "coco"
    for key, value in extra.items():
        if key == "input":
            if value not in INPUTS:
                raise CheckpointError(f"--meta input must be one of {', '.join(INPUTS)}, got {value!r}")
        elif key == "label_names":
            label_names = value
        elif model is not None and key not in known_arguments(model):
            known = ", ".join(sorted(known_arguments(model) | {"label_names"}))
            raise CheckpointError(f"--meta {key}: {model} takes {known}")
        else:
            arguments[key] = value
    n_labels = arguments.get("n_fg_class", arguments.get("n_class"))
    if isinstance(label_names, list) and n_labels is not None and len(label_names) != n_labels:
        raise CheckpointError(f"--meta label_names has {len(label_names)} names, the model has {n_labels} classes")
    return {
        "format": FORMAT,
        "model": model,
        "arguments": arguments,
        "label_names": label_names,
        "source": {"file": source, "sha256": sha256},
        "converter": converter,
    }


def meta_array(meta):
    """Return ``__meta__`` as the array that goes into the .npz.

    Args:
        meta (dict): JSON values.

    Raises:
        CheckpointError: if a number is not finite, which JSON cannot say.
    """
    return np.array(meta_text(meta))


def meta_text(meta):
    """Return ``__meta__`` as JSON; see `meta_array`."""
    try:
        return json.dumps(meta, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise CheckpointError(f"__meta__ must have finite numbers only, got {printable(repr(meta))}") from error
