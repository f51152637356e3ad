"""Faster R-CNN on a feature pyramid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.errors import InvalidArgument
from chainfpn.models._build import build
from chainfpn.models._options import AnyResNetArguments, PyramidArguments, PyramidOptions
from chainfpn.models._record import COCO_V1, coco, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import FasterRCNN, RoIHeads
    from chainfpn.models._trunks import TrunkClassifier
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


@dataclass(frozen=True)
class MobileNetOptions(RCNNOptions):
    """Options of the detectors on a MobileNet, whose pyramid has three levels."""

    anchor_sizes: AnchorSizes = ((32, 64, 128, 256, 512),) * 3

    @property
    def n_levels(self) -> int:
        """Levels of the pyramid."""
        return 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride_in_1x1:
            raise InvalidArgument(self.name, "stride_in_1x1", "False for a MobileNet", self.stride_in_1x1)


_MOBILENET = {"rpn_score_thresh": 0.05}
_MOBILENET_320 = {**_MOBILENET, "rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 150}

#: Every option's default, by builder.
DEFAULTS = {
    **{name: RCNNOptions(name) for name in __all__ if "mobilenet" not in name},
    "fasterrcnn_mobilenet_v3_large_fpn": MobileNetOptions("fasterrcnn_mobilenet_v3_large_fpn", settings=_MOBILENET),
    "fasterrcnn_mobilenet_v3_large_320_fpn": MobileNetOptions(
        "fasterrcnn_mobilenet_v3_large_320_fpn", min_size=320, max_size=640, settings=_MOBILENET_320
    ),
}


def _roi_heads(options: RCNNOptions, norm: Norm | None, *, class_agnostic: bool = False, **own: Any) -> RoIHeads:
    """Make the heads on proposals: of convolutions and their normalization, or of two linear layers without one."""
    from chainfpn.links import FastRCNNPredictor, RoIHeads, TwoMLPHead, conv_box_head

    channels, width = options.fpn_channels, options.head_channels
    settings = {**options.settings_of("box_"), **options.head_settings("rpn_", "box_")}
    return RoIHeads(
        TwoMLPHead(channels * 7**2, width) if norm is None else conv_box_head(channels, 7, width, norm=norm),
        FastRCNNPredictor(width, options.n_class_id, class_agnostic=class_agnostic),
        **{**options.rule_set.roi_heads, **settings, **own},
    )


def assemble_rcnn(
    options: RCNNOptions,
    *,
    v2: bool = False,
    trunk: Callable[..., tuple[Any, list[int]]] | None = None,
    link: Callable[..., Any] | None = None,
    branch: Callable[[Norm | None], dict[str, Any]] | None = None,
    heads: Callable[[Callable[..., RoIHeads]], Any] | None = None,
) -> Any:
    """Put a detector of two stages together.

    Args:
        options (RCNNOptions): The builder's options.
        v2 (bool): torchvision's second version: normalization everywhere, and deeper heads.
        trunk (callable or None): Options and normalization to the trunk and the channels of the maps it returns; a
            ResNet by default.
        link (callable or None): A subclass of :class:`~chainfpn.links.FasterRCNN`, which is the default.
        branch (callable or None): Normalization to the head and predictor beyond those of the boxes, as keyword
            arguments of :class:`~chainfpn.links.RoIHeads`.
        heads (callable or None): From what makes a :class:`~chainfpn.links.RoIHeads` of keyword arguments to the heads
            of the detector.

    Returns:
        chainfpn.links.FasterRCNN: The detector.
    """
    from chainfpn.links import BackboneWithFPN, FasterRCNN, RegionProposalNetwork, RPNHead, max_pool_level
    from chainfpn.models._trunks import build_trunk, trunk_norm

    rules, channels = options.rule_set, options.fpn_channels
    norm = trunk_norm(options, frozen=False) if v2 else None
    body, in_channels = (trunk or build_trunk)(options, norm or trunk_norm(options, frozen=True))
    sizes = [(32 * 2**level,) for level in range(len(in_channels) + 1)]
    anchors = options.anchor_generator(sizes)
    make_heads = partial(_roi_heads, options, norm)
    detector = (link or FasterRCNN)(
        BackboneWithFPN(body, in_channels, channels, extra_blocks=max_pool_level, norm=norm),
        RegionProposalNetwork(
            RPNHead(channels, anchors.n_anchors, n_layers=2 if v2 else 1),
            anchors,
            **{**rules.rpn, **options.settings_of("rpn_")},
        ),
        make_heads(**({} if branch is None else branch(norm))) if heads is None else heads(make_heads),
        **options.base(options.preprocess()),
    )
    detector.clip_to_photograph = rules.clip_to_photograph
    return detector


def fasterrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_resnet50_fpn``.

    Options: :class:`FasterRCNNArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build("fasterrcnn_resnet50_fpn", locals(), assemble_rcnn)


def fasterrcnn_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_resnet50_fpn_v2``: unfrozen batch normalization everywhere, and deeper heads.

    Options: :class:`FasterRCNNArguments`. Source: Li et al. 2021; torchvision 0.14.
    """
    return build("fasterrcnn_resnet50_fpn_v2", locals(), partial(assemble_rcnn, v2=True))


def fasterrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFasterRCNNArguments],
) -> FasterRCNN:  # fmt: skip
    """Build Faster R-CNN on any trunk, any of its stages, any width of pyramid and head.

    Options: :class:`AnyFasterRCNNArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build("fasterrcnn_resnet_fpn", locals(), assemble_rcnn)


def fasterrcnn_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyFasterRCNNArguments],
) -> FasterRCNN:  # fmt: skip
    """Build Faster R-CNN on any trunk, with batch normalization, not frozen, everywhere and deeper heads.

    Options: :class:`AnyFasterRCNNArguments`. Source: Lin et al. 2017; torchvision 0.14.
    """
    return build("fasterrcnn_resnet_fpn_v2", locals(), partial(assemble_rcnn, v2=True))


def _build_on_mobilenet(name: str, arguments: dict[str, Any]) -> FasterRCNN:
    assemble = partial(assemble_rcnn, trunk=_mobilenet_trunk)
    return build(name, arguments, assemble, trunk_classifier=_mobilenet_classifier)


def _mobilenet_trunk(options: RCNNOptions, norm: Norm | None) -> tuple[Any, list[int]]:
    """Return MobileNetV3-Large with its first block of stride 32 and its last layer picked, and their channels."""
    from chainfpn.models.mobilenet import mobilenet_v3_large

    body = mobilenet_v3_large(norm=norm).features
    body.pick = ("13", "16")
    return body, [160, 960]


def _mobilenet_classifier(options: RCNNOptions) -> TrunkClassifier:
    from chainfpn.models._trunks import TrunkClassifier

    return TrunkClassifier("mobilenet_v3_large", {"features/": "backbone/body/"}, ("classifier/",))


def fasterrcnn_mobilenet_v3_large_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_mobilenet_v3_large_fpn``.

    Options: :class:`FasterRCNNArguments`. Source: Howard et al. 2019; torchvision 0.14.
    """
    return _build_on_mobilenet("fasterrcnn_mobilenet_v3_large_fpn", locals())


def fasterrcnn_mobilenet_v3_large_320_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> FasterRCNN:
    """Build torchvision's ``fasterrcnn_mobilenet_v3_large_320_fpn``: images of 320 pixels.

    Options: :class:`FasterRCNNArguments`. Source: Howard et al. 2019; torchvision 0.14.
    """
    return _build_on_mobilenet("fasterrcnn_mobilenet_v3_large_320_fpn", locals())
