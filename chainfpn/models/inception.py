"""GoogLeNet and Inception v3."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.models._record import FIRST, V1, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import GoogLeNet, InceptionV3
    from chainfpn.models._types import Pretrained

_imagenet = partial(imagenet, eps=1e-3)
_GOOGLE: dict[str, Any] = {"resize": 342, "crop": 299, "arguments": {"transform_input": True}}

RECORDS = (
    *classifiers(
        "googlenet",
        __name__,
        {
            "googlenet": {
                V1: _imagenet("googlenet-1378be20", 69.778, arguments={"transform_input": True, "aux_logits": False})
            }
        },
    ),
    *classifiers(
        "inception",
        __name__,
        {
            "inception_v3": {
                V1: _imagenet("inception_v3_google-0cc3c7bd", 77.294, **_GOOGLE),
                FIRST: _imagenet("inception_v3_google-1a9a5a14", **_GOOGLE),
            }
        },
    ),
)
__all__ = [model.name for model in RECORDS]


class InceptionArguments(TypedDict, total=False):
    """Options of GoogLeNet and Inception v3; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        aux_logits (bool): With the auxiliary heads; what the weights have, else True, by default.
        transform_input (bool): Whether the input is normalized as for torchvision's other models; False by default.
        dropout (float): Share of the features dropped before the last layer in training; 0.2 and 0.5 by default.
    """

    aux_logits: bool
    transform_input: bool
    dropout: float


def googlenet(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[InceptionArguments]
) -> GoogLeNet:
    """Build torchvision's ``googlenet`` (Szegedy et al. 2015), see :class:`InceptionArguments`."""
    return _build("googlenet", locals())


def inception_v3(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[InceptionArguments]
) -> InceptionV3:
    """Build torchvision's ``inception_v3`` (Szegedy et al. 2016), see :class:`InceptionArguments`."""
    return _build("inception_v3", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import GoogLeNet, InceptionV3
    from chainfpn.models._classifier import build_classifier

    link, dropout = (GoogLeNet, 0.2) if name == "googlenet" else (InceptionV3, 0.5)
    defaults = {"aux_logits": True, "transform_input": False, "dropout": dropout}
    auxiliary = tuple(f"{head}/" for head in link.auxiliary.values())
    return build_classifier(name, link, arguments, defaults, auxiliary=auxiliary)
