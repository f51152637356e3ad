"""Mask R-CNN on a feature pyramid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainfpn.models._build import build
from chainfpn.models._record import COCO_V1, MASKS, coco, detectors
from chainfpn.models.faster_rcnn import AnyFasterRCNNArguments, FasterRCNNArguments, RCNNOptions, assemble_rcnn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links.detectors.mask_rcnn import MaskRCNN
    from chainfpn.models._types import Norm, Pretrained


RECORDS = detectors(
    "mask_rcnn",
    __name__,
    {
        "maskrcnn_resnet50_fpn": {COCO_V1: coco("maskrcnn_resnet50_fpn_coco-bf2d0c1e", box=37.9, mask=34.6, eps=0.0)},
        "maskrcnn_resnet50_fpn_v2": {COCO_V1: coco("maskrcnn_resnet50_fpn_v2_coco-73cbd019", box=47.4, mask=41.8)},
        "maskrcnn_resnet_fpn": {},
        "maskrcnn_resnet_fpn_v2": {},
    },
    MASKS,
)
__all__ = [model.name for model in RECORDS]


def _assemble(options: RCNNOptions, *, v2: bool = False) -> MaskRCNN:
    from chainfpn.links.detectors.mask_head import MaskHead, MaskRCNNPredictor
    from chainfpn.links.detectors.mask_rcnn import MaskRCNN
    from chainfpn.models._rules import find_rules

    def branch(norm: Norm) -> dict[str, Any]:
        return {
            "mask_head": MaskHead(options.fpn_channels, norm=norm),
            "mask_predictor": MaskRCNNPredictor(256, options.n_class_id),
        }

    detector = assemble_rcnn(options, v2=v2, link=MaskRCNN, branch=branch)
    detector.paste = find_rules(options.name, options.rules).paste
    return detector


def _assemble_v2(options: RCNNOptions) -> MaskRCNN:
    return _assemble(options, v2=True)


def maskrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> MaskRCNN:
    """Build torchvision's ``maskrcnn_resnet50_fpn``.

    Options: :class:`FasterRCNNArguments`. Source: He et al. 2017; torchvision 0.14.
    """
    return build(RCNNOptions("maskrcnn_resnet50_fpn"), locals(), _assemble)


def maskrcnn_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> MaskRCNN:
    """Build torchvision's ``maskrcnn_resnet50_fpn_v2``: unfrozen batch normalization everywhere, and deeper heads.

    Options: :class:`FasterRCNNArguments`. Source: Li et al. 2021; torchvision 0.14.
    """
    return build(RCNNOptions("maskrcnn_resnet50_fpn_v2"), locals(), _assemble_v2)


def maskrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFasterRCNNArguments],
) -> MaskRCNN:  # fmt: skip
    """Build Mask R-CNN on any ResNet, any of its stages, any width of pyramid and head.

    Options: :class:`AnyFasterRCNNArguments`. Source: He et al. 2017; torchvision 0.14.
    """
    return build(RCNNOptions("maskrcnn_resnet_fpn"), locals(), _assemble)


def maskrcnn_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFasterRCNNArguments],
) -> MaskRCNN:  # fmt: skip
    """Build Mask R-CNN on any ResNet, with batch normalization, not frozen, everywhere and deeper heads.

    Options: :class:`AnyFasterRCNNArguments`. Source: He et al. 2017; torchvision 0.14.
    """
    return build(RCNNOptions("maskrcnn_resnet_fpn_v2"), locals(), _assemble_v2)
