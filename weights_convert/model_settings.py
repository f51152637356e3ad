"""What stands beside the weights and says how their detector was run: a configuration, the names of classes."""

import re
from typing import Any

from weights_convert._typing import Json, PathLike, Shapes
from weights_convert.config_files import parse_python, read_config
from weights_convert.config_settings import find_architecture, find_settings
from weights_convert.errors import CheckpointError
from weights_convert.known_models import builder_arguments, defaults, is_detector
from weights_convert.layouts import FOREIGN_RULES
from weights_convert.options import ANY_MODEL
from weights_convert.report import Report

#: Where mmdetection's checkpoints have the text of their configuration, and the names of classes: 3.x and 2.x.
_TEXTS = ("cfg", "config")
_CLASSES = ("classes", "CLASSES")

#: Where settings keep what a configuration that somebody gives is of.
_ARCHITECTURE = "architecture"

#: What is taken of a model without a configuration.
_ASSUMED = {
    "detectron2": "taken for one of Caffe's input (BGR, stride in the 1x1), as the zoo has it but for X-101; another "
    "needs its --config, or --meta input=torchvision",
    "mmdetection": "taken as 'pytorch' style (RGB, mean and std, stride in the 3x3); a 'caffe' style model needs its "
    "--config, or --meta input=caffe",
}


def find_model_settings(
    tree: Any, path: PathLike | None, framework: str | None, requested: Json
) -> tuple[Json, list[str]]:
    """Return what is known of a detector beside its weights.

    Args:
        tree: What was saved.
        path (str or path or None): A configuration that somebody gives, which is before the one in the file.
        framework (str or None): Whose names the weights have: ``"detectron2"``, ``"mmdetection"`` or another.
        requested (dict): What somebody says of it; with ``input`` or ``rules`` the input is not a guess.

    Returns:
        tuple: Arguments of any builder, ``label_names`` and ``rules`` among them, and sentences for the report.

    Raises:
        CheckpointError: if the configuration cannot be read, or is the other framework's.
    """
    meta = tree.get("meta") if isinstance(tree, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    config, where = _config(meta, path)
    if path is not None and framework not in ("detectron2" if "MODEL" in config else "mmdetection", None):
        raise CheckpointError(f"--config {path}: is no configuration of {framework}, whose names the weights have")
    settings, others = find_settings(config) if config else ({}, [])
    notes = [f"{where}: {', '.join(sorted(settings))}"] if settings else []
    notes += [f"{where}: {sentence}" for sentence in others]
    notes += [f"{where}: nothing is known here"] if path is not None and not notes else []
    names = next((found for found in map(_names, (meta.get("dataset_meta"), meta)) if found), None)
    if names:
        notes.append(f"in the file: names of classes, {len(names)}")
    if framework in _ASSUMED and not config and not requested.keys() & {"input", "rules"}:
        notes.append(_ASSUMED[framework])
    if str(meta.get("mmdet_version", "")).startswith(("0.", "1.")):
        notes.append("made by mmdetection 1.x, which rounds anchors and counts the last pixel: boxes move a little")
    settings |= {_ARCHITECTURE: (path, *find_architecture(config))} if path is not None else {}
    return settings | ({"label_names": names} if names else {}), notes


def _config(meta: Json, path: PathLike | None) -> tuple[Json, str]:
    if path is not None:
        return read_config(path), f"from --config {path}"
    text = next((text for key in _TEXTS if isinstance(text := meta.get(key), str)), "")
    try:
        return parse_python(text), "from the configuration in the file"
    except ValueError:  # a text of something else
        return {}, ""


def _names(meta: Any) -> list[str]:
    names = next((meta[key] for key in _CLASSES if key in meta), ()) if isinstance(meta, dict) else ()
    names = [names] if isinstance(names, str) else names
    return list(names) if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names) else []


def usable_settings(settings: Json, report: Report, shapes: Shapes) -> Json:
    """Return those settings that the builder of a recognized model takes.

    Args:
        settings (dict): From `find_model_settings`.
        report (Report): Of the model.
        shapes (dict): Of its tensors, by torchvision's names.

    Raises:
        CheckpointError: if the configuration that somebody gives is of another detector, or another trunk.
    """
    if report.model in (None, ANY_MODEL):
        return {}
    if _ARCHITECTURE in settings and not any(why.startswith("--drop") for why in report.dropped.values()):
        _check_architecture(report.model, report.arguments, *settings[_ARCHITECTURE])
    known = builder_arguments(report.model) | {"label_names"}
    if report.arguments.get("rules") not in FOREIGN_RULES:
        known -= {"image_mean", "image_std", "channel_order"}  # whose numbers are of another scale
    if not any(name.endswith("layer1.0.conv3.weight") for name in shapes):
        known -= {"stride_in_1x1"}
    n_classes, names = report.arguments.get("n_fg_class"), settings.get("label_names")
    if names and len(names) != n_classes:
        report.notes.append(f"the {len(names)} names of classes are not taken: the weights have {n_classes} classes")
        known -= {"label_names"}
    return {key: value for key, value in settings.items() if key in known and key != "rules"}


def _check_architecture(model: str, arguments: Json, path: PathLike, name: str, depth: int | None) -> None:
    """Compare the detector and the depth of the ResNet that a configuration is of with those of the weights."""
    trunk = arguments.get("depth", getattr(defaults(model), "depth", model))
    found = re.search(r"resne\D*(\d+)", f"resnet{trunk}" if isinstance(trunk, int) else trunk)
    own_depth = int(found[1]) if found else depth
    if is_detector(model) and not model.startswith(name):
        raise CheckpointError(f"--config {path}: is of {name}, the weights are of {model}")
    if depth is not None and depth != own_depth:
        raise CheckpointError(f"--config {path}: is of a ResNet-{depth}, the weights are of a ResNet-{own_depth}")
