"""The registry: every model by name. Importing it needs neither Chainer nor NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from chainfpn._imagenet import IMAGENET_STD as IMAGENET_STD
from chainfpn.errors import InvalidArgument
from chainfpn.models._record import COCO_CLASS_IDS as COCO_CLASS_IDS
from chainfpn.models._record import RESNETS as RESNETS
from chainfpn.models._record import URL as URL
from chainfpn.models._record import WORDS as WORDS
from chainfpn.models._record import Model, WeightFile

#: The files of builders, in the order of tables.
_FAMILIES = (
    "vgg",
    "resnet",
    "densenet",
    "squeezenet",
    "inception",
    "mobilenet",
    "efficientnet",
    "regnet",
    "convnext",
    "swin_transformer",
    "kuangliu",
    "backbone",
    "faster_rcnn",
    "mask_rcnn",
    "keypoint_rcnn",
    "cascade_rcnn",
    "retinanet",
    "fcos",
    "ssd",
)

#: Model by name; the records stand in the file of their builders.
MODELS: Mapping[str, Model] = MappingProxyType(
    {record.name: record for family in _FAMILIES for record in import_module(f"chainfpn.models.{family}").RECORDS}
)


def find_model(name: str, *, where: str = "find_model") -> Model:
    """Return the record of a model.

    Args:
        name (str): The model.
        where (str): Who asks, for the error.

    Returns:
        Model: Its record.

    Raises:
        InvalidArgument: if there is no model of that name.
    """
    if name not in MODELS:
        raise InvalidArgument(where, "model", f"one of {', '.join(MODELS)}", name)
    return MODELS[name]


def list_models(family: str | None = None) -> list[str]:
    """Return the names of all models, or of those of a family.

    Args:
        family (str or None): ``'resnet'``, ``'faster_rcnn'``, ...

    Returns:
        list of str: The names.

    Raises:
        InvalidArgument: if there is no family of that name.

    Example:
        >>> list_models("fcos")
        ['fcos_resnet50_fpn', 'fcos_resnet_fpn']
    """
    families = dict.fromkeys(model.family for model in MODELS.values())
    if family is not None and family not in families:
        raise InvalidArgument("list_models", "family", f"one of {', '.join(families)}", family)
    return [name for name, model in MODELS.items() if family in (None, model.family)]


def list_weights(name: str) -> dict[str, WeightFile]:
    """Return the weight files that are published for a model.

    Args:
        name (str): The model.

    Returns:
        dict: torchvision's name of the weights to the file.

    Raises:
        InvalidArgument: if there is no model of that name.

    Example:
        >>> list_weights("resnet50")["IMAGENET1K_V2"].figures
        {'top1': 80.858}
    """
    return dict(find_model(name, where="list_weights").weights)


def get_model(name: str, *args: Any, **options: Any) -> Any:
    """Build a model by name.

    Args:
        name (str): The model.
        *args: Arguments of its builder.
        **options: The same.

    Returns:
        chainer.Link: The model.

    Raises:
        InvalidArgument: if there is no model of that name.
    """
    return find_model(name, where="get_model").builder(*args, **options)


def find_weight_file(sha256: str | None) -> tuple[Model, WeightFile] | None:
    """Return the model and the published file of a hash.

    Args:
        sha256 (str or None): SHA-256 in hexadecimal digits, all 64 of them.

    Returns:
        tuple or None: The :class:`Model` and its :class:`WeightFile`; None if no such file is published.
    """
    files = ((model, file) for model in MODELS.values() for file in model.weights.values())
    return next((found for found in files if sha256 and sha256.startswith(found[1].sha256)), None)
