"""FCOS on a ResNet with a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from chainfpn.errors import InvalidArgument
from chainfpn.models._build import build
from chainfpn.models._dense_options import AnyDenseArguments, DenseOptions, DenseSettings
from chainfpn.models._options import PyramidArguments
from chainfpn.models._record import COCO_V1, coco, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import FCOS
    from chainfpn.models._types import Pretrained

RECORDS = detectors(
    "fcos",
    __name__,
    {"fcos_resnet50_fpn": {COCO_V1: coco("fcos_resnet50_fpn_coco-99b0c9b7", box=39.2)}, "fcos_resnet_fpn": {}},
)
__all__ = [model.name for model in RECORDS]


class FCOSSettings(DenseSettings, total=False):
    """Numbers of FCOS, by torchvision's names: arguments of :class:`~chainfpn.links.FCOS`.

    Attributes:
        center_sampling_radius (float): Strides from the centre of a ground truth within which a location is positive.
    """

    center_sampling_radius: float


class FCOSArguments(PyramidArguments, FCOSSettings, total=False):
    """Options of torchvision's FCOS."""


class AnyFCOSArguments(AnyDenseArguments, FCOSSettings, total=False):
    """Options of FCOS on any trunk."""


@dataclass(frozen=True)
class FCOSOptions(DenseOptions):
    """Options of FCOS: one anchor a location."""

    family: ClassVar[str] = "fcos"

    aspect_ratios: Sequence[float] = (1.0,)

    def _check_anchors(self) -> None:
        super()._check_anchors()
        n_anchors = len(self.aspect_ratios) * (1 if self.anchor_sizes is None else len(self.anchor_sizes[0]))
        if n_anchors != 1:
            rule = "those of one anchor a position"
            raise InvalidArgument(self.name, "aspect_ratios", rule, self.aspect_ratios, got=f"{n_anchors} anchors")


#: Every option's default, by builder.
DEFAULTS = {name: FCOSOptions(name) for name in __all__}


def _assemble(options: FCOSOptions) -> FCOS:
    from chainfpn.links import FCOS
    from chainfpn.models._trunks import dense_backbone

    rules = options.dense_rules
    strides = [(2 ** (options.stages[0] + 1 + level),) for level in range(options.n_levels)]
    anchors = options.anchor_generator(strides, rules.anchors)
    return FCOS(
        dense_backbone(options),
        rules.head(options.fpn_channels, options.n_class_id, options.n_levels),
        anchors,
        **options.base(options.preprocess()),
        **options.detector_settings,
    )


def fcos_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FCOSArguments]
) -> FCOS:
    """Build torchvision's ``fcos_resnet50_fpn``.

    Options: :class:`FCOSArguments`. Source: Tian et al. 2019; torchvision 0.14.
    """
    return build("fcos_resnet50_fpn", locals(), _assemble)


def fcos_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFCOSArguments],
) -> FCOS:  # fmt: skip
    """Build FCOS on any trunk, any of its stages, any width of pyramid.

    Options: :class:`AnyFCOSArguments`. Source: Tian et al. 2019; torchvision 0.14.
    """
    return build("fcos_resnet_fpn", locals(), _assemble)
