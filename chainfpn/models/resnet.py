"""ResNet, ResNeXt and wide ResNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.models._record import FIRST, RESNETS, V1, V2, WeightFile, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import ResNet
    from chainfpn.models._types import Norm, Pretrained


def _generations(v1: tuple[str, float], v2: tuple[str, float], before: str | None = None) -> dict[str, WeightFile]:
    """Return the files of a network of two generations, perhaps with the one before them."""
    files = {V1: imagenet(*v1), V2: imagenet(*v2, resize=232)}
    return files if before is None else {**files, FIRST: imagenet(before)}


RECORDS = classifiers(
    "resnet",
    __name__,
    {
        "resnet18": {V1: imagenet("resnet18-f37072fd", 69.758), FIRST: imagenet("resnet18-5c106cde")},
        "resnet34": {V1: imagenet("resnet34-b627a593", 73.314), FIRST: imagenet("resnet34-333f7ec4")},
        "resnet50": _generations(("resnet50-0676ba61", 76.13), ("resnet50-11ad3fa6", 80.858), "resnet50-19c8e357"),
        "resnet101": _generations(("resnet101-63fe2227", 77.374), ("resnet101-cd907fc2", 81.886), "resnet101-5d3b4d8f"),
        "resnet152": _generations(("resnet152-394f9c45", 78.312), ("resnet152-f82ba261", 82.284), "resnet152-b121ed2d"),
        "resnext50_32x4d": _generations(("resnext50_32x4d-7cdf4587", 77.618), ("resnext50_32x4d-1a0047aa", 81.198)),
        "resnext101_32x8d": _generations(("resnext101_32x8d-8ba56ff5", 79.312), ("resnext101_32x8d-110c445d", 82.834)),
        "resnext101_64x4d": {V1: imagenet("resnext101_64x4d-173b62eb", 83.246, resize=232)},
        "wide_resnet50_2": _generations(("wide_resnet50_2-95faca4d", 78.468), ("wide_resnet50_2-9ba9bcbe", 81.602)),
        "wide_resnet101_2": _generations(("wide_resnet101_2-32ee1156", 78.848), ("wide_resnet101_2-d733dc28", 82.51)),
    },
)
__all__ = [model.name for model in RECORDS]


class ResNetArguments(TypedDict, total=False):
    """Options of the ResNets; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        replace_stride_with_dilation (sequence of bool): See :class:`~chainfpn.links.ResNet`.
        zero_init_residual (bool): See :class:`~chainfpn.links.ResNet`.
        stride_in_1x1 (bool): See :class:`~chainfpn.links.ResNet`; False by default.
        norm (str, callable): ``'batch'``, ``'frozen'`` or ``'group'`` normalization, or number of channels to the
            normalization link; batch normalization by default.
        n_stages (int): Stages, 4 by default; fewer without a head only (``n_class`` 0).
    """

    replace_stride_with_dilation: Sequence[bool]
    zero_init_residual: bool
    stride_in_1x1: bool
    norm: str | Norm | None
    n_stages: int


def resnet18(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnet18`` (He et al. 2016), see :class:`ResNetArguments`."""
    return _build("resnet18", locals())


def resnet34(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnet34`` (He et al. 2016), see :class:`ResNetArguments`."""
    return _build("resnet34", locals())


def resnet50(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnet50`` (He et al. 2016), see :class:`ResNetArguments`."""
    return _build("resnet50", locals())


def resnet101(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnet101`` (He et al. 2016), see :class:`ResNetArguments`."""
    return _build("resnet101", locals())


def resnet152(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnet152`` (He et al. 2016), see :class:`ResNetArguments`."""
    return _build("resnet152", locals())


def resnext50_32x4d(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnext50_32x4d`` (Xie et al. 2017), see :class:`ResNetArguments`."""
    return _build("resnext50_32x4d", locals())


def resnext101_32x8d(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnext101_32x8d`` (Xie et al. 2017), see :class:`ResNetArguments`."""
    return _build("resnext101_32x8d", locals())


def resnext101_64x4d(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``resnext101_64x4d`` (Xie et al. 2017), see :class:`ResNetArguments`."""
    return _build("resnext101_64x4d", locals())


def wide_resnet50_2(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``wide_resnet50_2`` (Zagoruyko and Komodakis 2016), see :class:`ResNetArguments`."""
    return _build("wide_resnet50_2", locals())


def wide_resnet101_2(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ResNetArguments]
) -> ResNet:
    """Build torchvision's ``wide_resnet101_2`` (Zagoruyko and Komodakis 2016), see :class:`ResNetArguments`."""
    return _build("wide_resnet101_2", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import ResNet
    from chainfpn.links.backbones.resnet import DEPTHS
    from chainfpn.models._classifier import build_classifier
    from chainfpn.models._trunks import find_norm

    depth, groups, width_per_group = RESNETS[name]

    def make(n_class: int, *, norm: Any, n_stages: int, **options: Any) -> ResNet:
        return ResNet(
            *DEPTHS[depth],
            n_class,
            groups=groups,
            width_per_group=width_per_group,
            norm=find_norm(norm),
            **options,
        )

    defaults = {
        "replace_stride_with_dilation": (False, False, False),
        "zero_init_residual": False,
        "stride_in_1x1": False,
        "norm": "batch",
        "n_stages": 4,
    }
    return build_classifier(name, make, arguments, defaults, last_layer=lambda options: f"layer{options['n_stages']}")
