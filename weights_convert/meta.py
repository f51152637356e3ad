"""``__meta__``: what weights cannot say about their model, as a JSON object inside the .npz."""

import ast
import json

import numpy as np

from weights_convert.errors import CheckpointError

FORMAT = 1

#: Class names that go by a name of their own.
LABEL_SETS = ("coco", "imagenet", "voc")

#: Kinds of input a model was trained with: torchvision's, or BGR in 0..255 minus the mean.
INPUTS = ("torchvision", "caffe")

_TRUNK = {"n_class", "stride_in_1x1"}
_DETECTOR = {
    "n_fg_class",
    "raw_labels",
    "norm",
    "norm_eps",
    "min_size",
    "max_size",
    "anchor_sizes",
    "aspect_ratios",
    "depth",
    "stages",
    "fpn_channels",
    "head_channels",
    "n_keypoint",
    "stride_in_1x1",
    "p6_from_trunk",
    "p7_relu",
    "rules",
}

#: Builders that take less.
_NARROW = {
    "fpn50": {"align_corners"},
    "fpn101": {"align_corners"},
    "retinanet_kuangliu": {"n_fg_class", "align_corners", "image_size"},
    "ssd300_vgg16": {"n_fg_class", "raw_labels"},
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
    if model in _NARROW:
        return _NARROW[model]
    return _DETECTOR if "rcnn" in model or model.startswith(("retinanet", "fcos")) else _TRUNK


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
    if arguments.get("raw_labels") is not None and arguments.get("n_fg_class") == 80:
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
    """Return ``__meta__`` as the array that goes into the .npz."""
    return np.array(json.dumps(meta, sort_keys=True))
