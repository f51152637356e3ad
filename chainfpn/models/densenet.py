"""The DenseNets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.models._record import FIRST, V1, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import DenseNet
    from chainfpn.models._types import Norm, Pretrained

RECORDS = classifiers(
    "densenet",
    __name__,
    {
        "densenet121": {V1: imagenet("densenet121-a639ec97", 74.434), FIRST: imagenet("densenet121-241335ed")},
        "densenet161": {V1: imagenet("densenet161-8d451a50", 77.138), FIRST: imagenet("densenet161-17b70270")},
        "densenet169": {V1: imagenet("densenet169-b2777c0a", 75.6), FIRST: imagenet("densenet169-6f0f7f60")},
        "densenet201": {V1: imagenet("densenet201-c1103571", 76.896), FIRST: imagenet("densenet201-4c113574")},
    },
    head="classifier",
)
__all__ = [model.name for model in RECORDS]

#: Dense layers per block, channels each adds, channels of the first convolution.
ARCHITECTURES = {
    "densenet121": ((6, 12, 24, 16), 32, 64),
    "densenet161": ((6, 12, 36, 24), 48, 96),
    "densenet169": ((6, 12, 32, 32), 32, 64),
    "densenet201": ((6, 12, 48, 32), 32, 64),
}


class DenseNetArguments(TypedDict, total=False):
    """Options of the DenseNets; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        drop_rate (float): Share of the features dropped after each dense layer in training; 0 by default.
        norm (callable): Number of channels to the normalization link; batch normalization by default.
    """

    drop_rate: float
    norm: Norm | None


def densenet121(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DenseNetArguments]
) -> DenseNet:
    """Build torchvision's ``densenet121`` (Huang et al. 2017), see :class:`DenseNetArguments`."""
    return _build("densenet121", locals())


def densenet161(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DenseNetArguments]
) -> DenseNet:
    """Build torchvision's ``densenet161`` (Huang et al. 2017), see :class:`DenseNetArguments`."""
    return _build("densenet161", locals())


def densenet169(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DenseNetArguments]
) -> DenseNet:
    """Build torchvision's ``densenet169`` (Huang et al. 2017), see :class:`DenseNetArguments`."""
    return _build("densenet169", locals())


def densenet201(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DenseNetArguments]
) -> DenseNet:
    """Build torchvision's ``densenet201`` (Huang et al. 2017), see :class:`DenseNetArguments`."""
    return _build("densenet201", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import BatchNormalization, DenseNet
    from chainfpn.models._classifier import build_classifier

    make = partial(DenseNet, *ARCHITECTURES[name])
    return build_classifier(name, make, arguments, {"drop_rate": 0.0, "norm": BatchNormalization})
