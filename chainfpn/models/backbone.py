"""A trunk and its feature pyramid alone: the backbone of torchvision's detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from chainfpn.models._build import build
from chainfpn.models._dense_options import DenseOptions
from chainfpn.models._record import Model

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import BackboneWithFPN
    from chainfpn.models._trunks import TrunkClassifier
    from chainfpn.models._types import Norm, Pretrained

_TWIN = "torchvision.models.detection.backbone_utils.resnet_fpn_backbone"
RECORDS = (Model("resnet_fpn_backbone", "fpn_backbone", __name__, ("maps",), {}, _TWIN),)
__all__ = [model.name for model in RECORDS]


class BackboneArguments(TypedDict, total=False):
    """Options of a backbone, see :class:`BackboneOptions`.

    Attributes:
        pretrained_backbone (str, os.PathLike): Weights of the trunk alone, see the detectors' option.
    """

    pretrained_backbone: Pretrained
    stages: Sequence[int]
    fpn_channels: int
    norm: str | Norm | None
    norm_eps: float
    stride_in_1x1: bool
    fpn_norm: bool
    extra_levels: str
    p6_from_trunk: bool
    p7_relu: bool


@dataclass(frozen=True)
class BackboneOptions(DenseOptions):
    """Options of a backbone, and torchvision's values.

    Attributes:
        fpn_norm (bool): Normalize the pyramid, too, as the second versions of torchvision's detectors do.
        extra_levels (str): What follows the pyramid: ``'pool'``, every second pixel of the coarsest level, as detectors
            of two stages have it; ``'p6p7'``, two convolutions, as detectors of one stage have it; or ``'none'``.
    """

    n_fg_class: int | None = 0
    stages: Sequence[int] = (1, 2, 3, 4)
    fpn_norm: bool = False
    extra_levels: str = "pool"


#: Every option's default, by builder.
DEFAULTS = {"resnet_fpn_backbone": BackboneOptions("resnet_fpn_backbone")}


def resnet_fpn_backbone(
    depth: int | str | None = None, pretrained_model: Pretrained = None, **options: Unpack[BackboneArguments]
) -> BackboneWithFPN:
    """Build torchvision's ``resnet_fpn_backbone``, on any trunk: what ``detector.backbone`` is.

    Options: :class:`BackboneArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build("resnet_fpn_backbone", locals(), _assemble, trunk_classifier=_trunk_classifier)


def _assemble(options: BackboneOptions) -> BackboneWithFPN:
    from chainfpn.links import BackboneWithFPN, max_pool_level
    from chainfpn.models._trunks import build_trunk, dense_backbone, trunk_norm

    if options.extra_levels == "p6p7":
        return dense_backbone(options)
    norm = trunk_norm(options, frozen=not options.fpn_norm)
    trunk, channels = build_trunk(options, norm)
    extra = max_pool_level if options.extra_levels == "pool" else None
    return BackboneWithFPN(
        trunk, channels, options.fpn_channels, extra_blocks=extra, norm=norm if options.fpn_norm else None
    )


def _trunk_classifier(options: BackboneOptions) -> TrunkClassifier:
    from chainfpn.models._trunks import find_classifier

    classifier = find_classifier(options)
    return classifier._replace(prefixes=dict.fromkeys(classifier.prefixes, "body/"))
