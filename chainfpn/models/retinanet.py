"""RetinaNet on a ResNet with a feature pyramid."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from chainfpn.models._build import build
from chainfpn.models._dense_options import AnyDenseArguments, DenseOptions, DenseSettings
from chainfpn.models._options import PyramidArguments
from chainfpn.models._record import COCO_V1, coco, detectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from chainfpn.links import RetinaNet
    from chainfpn.models._types import Pretrained

RECORDS = detectors(
    "retinanet",
    __name__,
    {
        "retinanet_resnet50_fpn": {COCO_V1: coco("retinanet_resnet50_fpn_coco-eeacb38b", box=36.4, eps=0.0)},
        "retinanet_resnet50_fpn_v2": {COCO_V1: coco("retinanet_resnet50_fpn_v2_coco-5905b1c5", box=41.5)},
        "retinanet_resnet_fpn": {},
        "retinanet_resnet_fpn_v2": {},
    },
)
__all__ = [model.name for model in RECORDS]


class RetinaNetSettings(DenseSettings, total=False):
    """Numbers of RetinaNet, by torchvision's names: arguments of :class:`~chainfpn.links.RetinaNet`.

    Attributes:
        fg_iou_thresh (float): Smallest IoU of a foreground anchor with a ground truth.
        bg_iou_thresh (float): IoU below which an anchor is background.
    """

    fg_iou_thresh: float
    bg_iou_thresh: float


class RetinaNetArguments(PyramidArguments, RetinaNetSettings, total=False):
    """Options of torchvision's RetinaNet."""


class AnyRetinaNetArguments(AnyDenseArguments, RetinaNetSettings, total=False):
    """Options of RetinaNet on any trunk."""


#: Every option's default, by builder.
DEFAULTS = {name: DenseOptions(name, p6_from_trunk=True if name.endswith("_v2") else None) for name in __all__}


def _assemble(options: DenseOptions, *, v2: bool = False) -> RetinaNet:
    from chainfpn.links import GroupNormalization, RetinaNet, RetinaNetHead
    from chainfpn.models._trunks import dense_backbone

    rules = options.dense_rules
    sizes = [
        [rules.round_size(32 * 2**level * 2 ** (third / 3)) for third in range(3)] for level in range(options.n_levels)
    ]
    anchors = options.anchor_generator(sizes, rules.anchors)
    version: Mapping[str, Any] = {"norm": GroupNormalization, "box_loss": "giou"} if v2 else {}
    detector = RetinaNet(
        dense_backbone(options, frozen=not v2),
        RetinaNetHead(options.fpn_channels, anchors.n_anchors, options.n_class_id, **version),
        anchors,
        **options.base(options.preprocess()),
        **options.detector_settings,
    )
    detector.clip_to_photograph = options.rule_set.clip_to_photograph
    return detector


def retinanet_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RetinaNetArguments]
) -> RetinaNet:
    """Build torchvision's ``retinanet_resnet50_fpn``.

    Options: :class:`RetinaNetArguments`. Source: Lin et al. 2017 (RetinaNet); torchvision 0.14.
    """
    return build("retinanet_resnet50_fpn", locals(), _assemble)


def retinanet_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RetinaNetArguments]
) -> RetinaNet:
    """Build torchvision's ``retinanet_resnet50_fpn_v2``: group normalization in its heads, GIoU loss.

    Options: :class:`RetinaNetArguments`. Source: Zhang et al. 2019; torchvision 0.14.
    """
    return build("retinanet_resnet50_fpn_v2", locals(), partial(_assemble, v2=True))


def retinanet_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyRetinaNetArguments],
) -> RetinaNet:  # fmt: skip
    """Build RetinaNet on any trunk, any of its stages, any width of pyramid.

    Options: :class:`AnyRetinaNetArguments`. Source: Lin et al. 2017 (RetinaNet); torchvision 0.14.
    """
    return build("retinanet_resnet_fpn", locals(), _assemble)


def retinanet_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyRetinaNetArguments],
) -> RetinaNet:  # fmt: skip
    """Build RetinaNet on any trunk: group normalization in its heads, boxes trained by GIoU.

    Options: :class:`AnyRetinaNetArguments`. Source: Lin et al. 2017 (RetinaNet); torchvision 0.14.
    """
    return build("retinanet_resnet_fpn_v2", locals(), partial(_assemble, v2=True))
