"""The SqueezeNets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.models._record import FIRST, V1, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import SqueezeNet
    from chainfpn.models._types import Pretrained

RECORDS = classifiers(
    "squeezenet",
    __name__,
    {
        "squeezenet1_0": {
            V1: imagenet("squeezenet1_0-b66bff10", 58.092, eps=None),
            FIRST: imagenet("squeezenet1_0-a815701f", eps=None),
        },
        "squeezenet1_1": {
            V1: imagenet("squeezenet1_1-b8a52dc0", 58.178, eps=None),
            FIRST: imagenet("squeezenet1_1-f364aa15", eps=None),
        },
    },
    head="classifier.1",
)
__all__ = [model.name for model in RECORDS]

#: Channels and kernel of the first convolution, fire blocks per resolution.
ARCHITECTURES = {"squeezenet1_0": ((96, 7), (3, 4, 1)), "squeezenet1_1": ((64, 3), (2, 2, 4))}


class SqueezeNetArguments(TypedDict, total=False):
    """Options of the SqueezeNets; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        dropout (float): Share of the features dropped before the last layer in training; 0.5 by default.
    """

    dropout: float


def squeezenet1_0(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SqueezeNetArguments]
) -> SqueezeNet:
    """Build torchvision's ``squeezenet1_0`` (Iandola et al. 2016), see :class:`SqueezeNetArguments`."""
    return _build("squeezenet1_0", locals())


def squeezenet1_1(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SqueezeNetArguments]
) -> SqueezeNet:
    """Build torchvision's ``squeezenet1_1`` (Iandola et al. 2016), see :class:`SqueezeNetArguments`."""
    return _build("squeezenet1_1", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import SqueezeNet
    from chainfpn.models._classifier import build_classifier

    return build_classifier(name, partial(SqueezeNet, *ARCHITECTURES[name]), arguments, {"dropout": 0.5})
