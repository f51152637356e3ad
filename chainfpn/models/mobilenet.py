"""The MobileNets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.models._record import V1, V2, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import MobileNetV2, MobileNetV3
    from chainfpn.models._types import Norm, Pretrained

RECORDS = (
    *classifiers(
        "mobilenet",
        __name__,
        {
            "mobilenet_v2": {
                V1: imagenet("mobilenet_v2-b0353104", 71.878),
                V2: imagenet("mobilenet_v2-7ebf99e0", 72.154, resize=232),
            }
        },
        head="classifier.1",
    ),
    *classifiers(
        "mobilenet",
        __name__,
        {
            "mobilenet_v3_large": {
                V1: imagenet("mobilenet_v3_large-8738ca79", 74.042, eps=1e-3),
                V2: imagenet("mobilenet_v3_large-5c1a4163", 75.274, eps=1e-3, resize=232),
            },
            "mobilenet_v3_small": {V1: imagenet("mobilenet_v3_small-047dcff4", 67.668, eps=1e-3)},
        },
        head="classifier.3",
    ),
)
__all__ = [model.name for model in RECORDS]


class MobileNetArguments(TypedDict, total=False):
    """Options of the MobileNets; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        width_mult (float): Factor on the channels of every layer; 1 by default.
        dropout (float): Share of the features dropped before the last layer in training; 0.2 by default.
        norm (callable): Number of channels to the normalization link; batch normalization by default.
    """

    width_mult: float
    dropout: float
    norm: Norm | None


def mobilenet_v2(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[MobileNetArguments]
) -> MobileNetV2:
    """Build torchvision's ``mobilenet_v2`` (Sandler et al. 2018), see :class:`MobileNetArguments`."""
    return _build("mobilenet_v2", locals())


def mobilenet_v3_large(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[MobileNetArguments]
) -> MobileNetV3:
    """Build torchvision's ``mobilenet_v3_large`` (Howard et al. 2019), see :class:`MobileNetArguments`."""
    return _build("mobilenet_v3_large", locals())


def mobilenet_v3_small(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[MobileNetArguments]
) -> MobileNetV3:
    """Build torchvision's ``mobilenet_v3_small`` (Howard et al. 2019), see :class:`MobileNetArguments`."""
    return _build("mobilenet_v3_small", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import BatchNormalization, MobileNetV2, MobileNetV3
    from chainfpn.links.backbones.mobilenet_v3 import LARGE, SMALL
    from chainfpn.models._classifier import build_classifier

    makes: dict[str, Any] = {
        "mobilenet_v2": MobileNetV2,
        "mobilenet_v3_large": partial(MobileNetV3, LARGE, 1280),
        "mobilenet_v3_small": partial(MobileNetV3, SMALL, 1024),
    }
    norm = BatchNormalization if name == "mobilenet_v2" else None
    return build_classifier(name, makes[name], arguments, {"width_mult": 1.0, "dropout": 0.2, "norm": norm})
