"""AlexNet and the VGGs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.models._record import CAFFE_MEAN, CAFFE_STD, FIRST, V1, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import VGG, AlexNet
    from chainfpn.models._types import Pretrained

RECORDS = (
    *classifiers(
        "alexnet",
        __name__,
        {
            "alexnet": {
                V1: imagenet("alexnet-owt-7be5be79", 56.522, eps=None),
                FIRST: imagenet("alexnet-owt-4df8aa71", eps=None),
            }
        },
        head="classifier.6",
    ),
    *classifiers(
        "vgg",
        __name__,
        {
            "vgg11": {V1: imagenet("vgg11-8a719046", 69.02, eps=None), FIRST: imagenet("vgg11-bbd30ac9", eps=None)},
            "vgg11_bn": {V1: imagenet("vgg11_bn-6002323d", 70.37)},
            "vgg13": {V1: imagenet("vgg13-19584684", 69.928, eps=None), FIRST: imagenet("vgg13-c768596a", eps=None)},
            "vgg13_bn": {V1: imagenet("vgg13_bn-abd245e5", 71.586)},
            "vgg16": {
                V1: imagenet("vgg16-397923af", 71.592, eps=None),
                "IMAGENET1K_FEATURES": imagenet(
                    "vgg16_features-amdegroot-88682ab5", eps=None, label_names=None, mean=CAFFE_MEAN, std=CAFFE_STD
                ),
            },
            "vgg16_bn": {V1: imagenet("vgg16_bn-6c64b313", 73.36)},
            "vgg19": {V1: imagenet("vgg19-dcbb9e9d", 72.376, eps=None)},
            "vgg19_bn": {V1: imagenet("vgg19_bn-c79401a0", 74.218)},
        },
        head="classifier.6",
    ),
)
__all__ = [model.name for model in RECORDS]

#: Convolutions per stage.
ARCHITECTURES = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


class DropoutArguments(TypedDict, total=False):
    """Options of AlexNet and the VGGs; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        dropout (float): Share of the features dropped before each of the large layers in training; 0.5 by default.
    """

    dropout: float


def alexnet(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]
) -> AlexNet:
    """Build torchvision's ``alexnet`` (Krizhevsky 2014), see :class:`DropoutArguments`."""
    return _build("alexnet", locals())


def vgg11(n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]) -> VGG:
    """Build torchvision's ``vgg11`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg11", locals())


def vgg11_bn(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]
) -> VGG:
    """Build torchvision's ``vgg11_bn`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg11_bn", locals())


def vgg13(n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]) -> VGG:
    """Build torchvision's ``vgg13`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg13", locals())


def vgg13_bn(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]
) -> VGG:
    """Build torchvision's ``vgg13_bn`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg13_bn", locals())


def vgg16(n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]) -> VGG:
    """Build torchvision's ``vgg16`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg16", locals())


def vgg16_bn(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]
) -> VGG:
    """Build torchvision's ``vgg16_bn`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg16_bn", locals())


def vgg19(n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]) -> VGG:
    """Build torchvision's ``vgg19`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg19", locals())


def vgg19_bn(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[DropoutArguments]
) -> VGG:
    """Build torchvision's ``vgg19_bn`` (Simonyan and Zisserman 2015), see :class:`DropoutArguments`."""
    return _build("vgg19_bn", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import VGG, AlexNet, BatchNormalization
    from chainfpn.models._classifier import build_classifier

    if name == "alexnet":
        return build_classifier(name, AlexNet, arguments, {"dropout": 0.5})
    norm = BatchNormalization if name.endswith("_bn") else None
    make = partial(VGG, ARCHITECTURES[name.removesuffix("_bn")], norm=norm)
    return build_classifier(name, make, arguments, {"dropout": 0.5})
