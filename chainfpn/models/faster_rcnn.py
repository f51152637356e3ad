"""Faster R-CNN on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.errors import InvalidArgument
from chainfpn.models._build import build
from chainfpn.models._options import AnyResNetArguments, PyramidArguments, PyramidOptions
from chainfpn.models._rcnn import assemble_rcnn, assemble_rcnn_v2
from chainfpn.models._record import COCO_V1, coco, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links.detectors.faster_rcnn import FasterRCNN
    from chainfpn.models._trunk_weights import TrunkClassifier
    from chainfpn.models._types import AnchorSizes, Norm, Pretrained

RECORDS = detectors(
    "faster_rcnn",
    __name__,
    {
        "fasterrcnn_resnet50_fpn": {COCO_V1: coco("fasterrcnn_resnet50_fpn_coco-258fb6c6", box=37.0, eps=0.0)},
        "fasterrcnn_resnet50_fpn_v2": {COCO_V1: coco("fasterrcnn_resnet50_fpn_v2_coco-dd69338a", box=46.7)},
        "fasterrcnn_resnet_fpn": {},
        "fasterrcnn_resnet_fpn_v2": {},
        "fasterrcnn_mobilenet_v3_large_fpn": {
            COCO_V1: coco("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7", box=32.8),
        },
        "fasterrcnn_mobilenet_v3_large_320_fpn": {
            COCO_V1: coco("fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9", box=22.8),
        },
    },
)
__all__ = [model.name for model in RECORDS]


class RCNNSettings(TypedDict, total=False):
    """Numbers of a detector with proposals, by torchvision's names, with the defaults of the heads that use them.

    Those of ``rpn_...`` are arguments of :class:`~chainfpn.links.RegionProposalNetwork`, those of ``box_...`` of
    :class:`~chainfpn.links.RoIHeads`, without that beginning.

    Attributes:
        rpn_pre_nms_top_n_train (int): Best-scored proposals of each level that enter NMS, in training.
        rpn_pre_nms_top_n_test (int): The same in detection.
        rpn_post_nms_top_n_train (int): Proposals kept per image, in training.
        rpn_post_nms_top_n_test (int): The same in detection.
        rpn_nms_thresh (float): IoU above which the lower-scored of two proposals of a level is suppressed.
        rpn_score_thresh (float): Lowest objectness of a proposal.
        rpn_fg_iou_thresh (float): Smallest IoU of a foreground anchor with a ground truth.
        rpn_bg_iou_thresh (float): IoU below which an anchor is background.
        rpn_batch_size_per_image (int): Anchors sampled per image for the loss.
        rpn_positive_fraction (float): Largest share of foreground among them.
        box_score_thresh (float): Lowest score of a detection.
        box_nms_thresh (float): IoU above which the lower-scored of two detections of a class is suppressed.
        box_detections_per_img (int or None): Most detections per image.
        box_batch_size_per_image (int): Proposals sampled per image for the loss.
        box_positive_fraction (float): Largest share of foreground among them.
    """

    rpn_pre_nms_top_n_train: int
    rpn_pre_nms_top_n_test: int
    rpn_post_nms_top_n_train: int
    rpn_post_nms_top_n_test: int
    rpn_nms_thresh: float
    rpn_score_thresh: float
    rpn_fg_iou_thresh: float
    rpn_bg_iou_thresh: float
    rpn_batch_size_per_image: int
    rpn_positive_fraction: float
    box_score_thresh: float
    box_nms_thresh: float
    box_detections_per_img: int | None
    box_batch_size_per_image: int
    box_positive_fraction: float


class FasterRCNNSettings(RCNNSettings, total=False):
    """Numbers of a detector of two stages; those of ``box_...`` likewise.

    Attributes:
        box_fg_iou_thresh (float): Smallest IoU of a foreground proposal with a ground truth.
        box_bg_iou_thresh (float): IoU below which a proposal is background.
        bbox_reg_weights (sequence of float): Weights of dx, dy, dw, dh of the second stage.
    """

    box_fg_iou_thresh: float
    box_bg_iou_thresh: float
    bbox_reg_weights: Sequence[float]


class FasterRCNNArguments(PyramidArguments, FasterRCNNSettings, total=False):
    """Options of torchvision's detectors of two stages."""


class AnyFasterRCNNArguments(AnyResNetArguments, FasterRCNNSettings, total=False):
    """Options of the detectors of two stages on any trunk, see :class:`RCNNOptions`."""

    head_channels: int


@dataclass(frozen=True)
class RCNNOptions(PyramidOptions):
    """Options of the detectors of two stages, and torchvision's values.

    Attributes:
        head_channels (int): Width of the fully connected layers of the head.
    """

    head_channels: int = 1024


_MOBILENET_ANCHORS = ((32, 64, 128, 256, 512),) * 3
_MOBILENET = {"rpn_score_thresh": 0.05}
_MOBILENET_320 = {**_MOBILENET, "rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 150}


@dataclass(frozen=True)
class MobileNetOptions(RCNNOptions):
    """Options of the detectors on a MobileNet, whose pyramid has three levels."""

    anchor_sizes: AnchorSizes = _MOBILENET_ANCHORS

    @property
    def n_levels(self) -> int:
        """Levels of the pyramid."""
        return 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride_in_1x1:
            raise InvalidArgument(self.name, "stride_in_1x1", "False for a MobileNet", self.stride_in_1x1)


def _build_mobilenet(default: RCNNOptions, arguments: dict[str, Any]) -> FasterRCNN:
    """Build on MobileNetV3-Large: its first block with stride 32, and its last layer."""
    from chainfpn.models.mobilenet import mobilenet_v3_large

    def trunk(options: RCNNOptions, norm: Norm) -> tuple[Any, list[int]]:
        body = mobilenet_v3_large(norm=norm).features
        body.pick = ("13", "16")
        return body, [160, 960]

    def assemble(options: RCNNOptions) -> FasterRCNN:
        return assemble_rcnn(options, trunk=trunk)

    return build(default, arguments, assemble, trunk_classifier=_mobilenet_classifier)


def _mobilenet_classifier(options: RCNNOptions) -> TrunkClassifier:
    from chainfpn.models._trunk_weights import TrunkClassifier

    return TrunkClassifier("mobilenet_v3_large", {"features/": "backbone/body/"}, ("classifier/",))


#: Every option's default, by builder.
DEFAULTS = {
    options.name: options
    for options in (
        RCNNOptions("fasterrcnn_resnet50_fpn"),
        RCNNOptions("fasterrcnn_resnet50_fpn_v2"),
        RCNNOptions("fasterrcnn_resnet_fpn"),
        RCNNOptions("fasterrcnn_resnet_fpn_v2"),
        MobileNetOptions("fasterrcnn_mobilenet_v3_large_fpn", settings=_MOBILENET),
        MobileNetOptions("fasterrcnn_mobilenet_v3_large_320_fpn", min_size=320, max_size=640, settings=_MOBILENET_320),
    )
}


def fasterrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_resnet50_fpn``.

    Options: :class:`FasterRCNNArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build(DEFAULTS["fasterrcnn_resnet50_fpn"], locals(), assemble_rcnn)


def fasterrcnn_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_resnet50_fpn_v2``: unfrozen batch normalization everywhere, and deeper heads.

    Options: :class:`FasterRCNNArguments`. Source: Li et al. 2021; torchvision 0.14.
    """
    return build(DEFAULTS["fasterrcnn_resnet50_fpn_v2"], locals(), assemble_rcnn_v2)


def fasterrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFasterRCNNArguments],
) -> FasterRCNN:  # fmt: skip
    """Build Faster R-CNN on any trunk, any of its stages, any width of pyramid and head.

    Options: :class:`AnyFasterRCNNArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build(DEFAULTS["fasterrcnn_resnet_fpn"], locals(), assemble_rcnn)


def fasterrcnn_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFasterRCNNArguments],
) -> FasterRCNN:  # fmt: skip
    """Build Faster R-CNN on any trunk, with batch normalization, not frozen, everywhere and deeper heads.

    Options: :class:`AnyFasterRCNNArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build(DEFAULTS["fasterrcnn_resnet_fpn_v2"], locals(), assemble_rcnn_v2)


def fasterrcnn_mobilenet_v3_large_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_mobilenet_v3_large_fpn``.

    Options: :class:`FasterRCNNArguments`. Source: Howard et al. 2019; torchvision 0.14.
    """
    return _build_mobilenet(DEFAULTS["fasterrcnn_mobilenet_v3_large_fpn"], locals())


def fasterrcnn_mobilenet_v3_large_320_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_mobilenet_v3_large_320_fpn``: images of 320 pixels.

    Options: :class:`FasterRCNNArguments`. Source: Howard et al. 2019; torchvision 0.14.
    """
    return _build_mobilenet(
        DEFAULTS["fasterrcnn_mobilenet_v3_large_320_fpn"],
        locals(),
    )
