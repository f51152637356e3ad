"""Whose rules a detector follows around its weights: torchvision's, ChainerCV's, detectron2's or mmdetection's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from chainfpn.boxes.anchors import (
    AnchorGenerator,
    ChainerCVAnchorGenerator,
    Detectron2AnchorGenerator,
    MMDetectionAnchorGenerator,
    MMDetectionPointGenerator,
)
from chainfpn.boxes.box_coder import MAX_LOG_SCALE, BoxCoder, LinearBoxCoder
from chainfpn.functions.kernels.geometry import LevelRule
from chainfpn.links.detectors.fcos import FCOSHead
from chainfpn.links.detectors.framework_preprocess import (
    ChainerCVPreprocess,
    Detectron2Preprocess,
    MMDetectionPreprocess,
)
from chainfpn.links.detectors.paste_masks import paste_masks, paste_masks_at_centers
from chainfpn.links.detectors.preprocess import Preprocess
from chainfpn.links.detectors.scaled_fcos_head import ScaledFCOSHead
from chainfpn.models.cascade_rcnn import BBOX_REG_WEIGHTS


def _same_on_all_levels(channels: int, n_output: int, n_levels: int) -> FCOSHead:
    return FCOSHead(channels, n_output)


class DenseRules(NamedTuple):
    """What is not in the weights of a RetinaNet or an FCOS, beside what holds for all detectors of a framework.

    mmdetection suppresses in the photograph's pixels, which drops the same boxes as in the batch's: an IoU does not
    change when all heights and all widths are scaled.

    Attributes:
        settings (dict): Options of the detector.
        image (dict): Options of the preprocess.
        background (bool): Whether the network has an output for the background, which is the first and is not used.
        p6_from_trunk, p7_relu (bool): See :class:`~chainfpn.models._dense_options.DenseOptions`.
        round_size (callable): What becomes of the sizes of anchors between powers of two.
        anchors (callable or None): Makes the anchors, where they are not those of the framework.
        head (callable): Makes FCOS' head for channels, classes and levels.
    """

    settings: Mapping[str, Any] = {}
    image: Mapping[str, Any] = {}
    background: bool = True
    p6_from_trunk: bool = False
    p7_relu: bool = True
    round_size: Callable[[float], float] = int
    anchors: Callable[..., AnchorGenerator] | None = None
    head: Callable[..., Any] = _same_on_all_levels


class Rules(NamedTuple):
    """What is not in the weights, which are those of the file: their first convolution takes ``channel_order``.

    Attributes:
        preprocess (callable): Makes the preprocess for a shorter and a longer side.
        anchors (callable): Makes the anchors for sizes and aspect ratios.
        rpn (dict): Options of the :class:`~chainfpn.links.RegionProposalNetwork`.
        roi_heads (dict): Options of the :class:`~chainfpn.links.RoIHeads`.
        paste (callable): Lays masks over the image.
        cascade_bbox_reg_weights, average_logits: See :class:`~chainfpn.models.cascade_rcnn.CascadeOptions`.
        cascade_settings (dict): Of cascades, what differs in ``rpn`` and ``roi_heads``, as options of builders.
        clip_to_photograph (bool): See :class:`~chainfpn.links.Detector`.
        stride_in_1x1 (bool): Whether bottlenecks, but for those of a ResNeXt, have their stride in the first 1x1.
        retinanet, fcos (DenseRules or None): Of these detectors; None where the framework has none.
    """

    preprocess: Callable[..., Preprocess]
    anchors: Callable[..., AnchorGenerator]
    rpn: Mapping[str, Any]
    roi_heads: Mapping[str, Any]
    paste: Callable[..., Any]
    cascade_bbox_reg_weights: Sequence[Sequence[float]] = BBOX_REG_WEIGHTS
    average_logits: bool = False
    cascade_settings: Mapping[str, Any] = MappingProxyType({})
    clip_to_photograph: bool = False
    stride_in_1x1: bool = False
    retinanet: DenseRules | None = None
    fcos: DenseRules | None = None


#: The smallest positive side: what has it is dropped only if it is empty.
_NOT_EMPTY = float(np.finfo(np.float32).tiny)

#: Wherever a place lies in a box: mmdetection samples around no centre.
_EVERYWHERE = 1e6

#: Of RGB pixels in 0..255, as detectron2 and mmdetection have them.
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_CAFFE: dict[str, Any] = {"mean": _MEAN[::-1], "std": (1.0, 1.0, 1.0), "channel_order": "BGR"}

#: Of both: no limit of sides, absolute errors as box losses, RoI Align.
_RPN = {"min_size": _NOT_EMPTY, "post_nms_top_n_train": 1000, "smooth_l1_beta": 0.0}
_ROI_HEADS = {"min_size": 0.0, "smooth_l1_beta": 0.0, "aligned": True, "sampling_ratio": 0}

_MMDETECTION_RETINANET = DenseRules(
    {
        "detections_per_img": 100,
        "min_size": _NOT_EMPTY,
        "box_coder": BoxCoder((1, 1, 1, 1), min_log_scale=-MAX_LOG_SCALE),
    },
    background=False,
    p6_from_trunk=True,
    p7_relu=False,
    round_size=float,
)

_MMDETECTION_FCOS = DenseRules(
    {
        "score_thresh": 0.05,
        "nms_thresh": 0.5,
        "min_size": _NOT_EMPTY,
        "rank_by_class": True,
        "center_sampling_radius": _EVERYWHERE,
        "box_coder": LinearBoxCoder(normalize_by_size=False),
    },
    background=False,
    anchors=MMDetectionPointGenerator,
    head=ScaledFCOSHead,
)

_MMDETECTION = Rules(
    functools.partial(MMDetectionPreprocess, mean=_MEAN, std=_STD),
    MMDetectionAnchorGenerator,
    {**_RPN, "min_log_scale": -MAX_LOG_SCALE, "min_low_quality_iou": 0.3},
    {
        **_ROI_HEADS,
        "level_rule": LevelRule(56, 2, ratio_eps=1e-6, level_eps=0.0),
        "min_log_scale": -MAX_LOG_SCALE,
        "nms_in_photograph": True,
    },
    paste_masks_at_centers,
    # a coder's weights are standard deviations there, and those of the third stage are rounded
    cascade_bbox_reg_weights=(*BBOX_REG_WEIGHTS[:2], (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067)),
    average_logits=True,
    cascade_settings={"rpn_smooth_l1_beta": 1 / 9, "box_smooth_l1_beta": 1.0},
    retinanet=_MMDETECTION_RETINANET,
    fcos=_MMDETECTION_FCOS,
)

RULES = {
    "torchvision": Rules(Preprocess, AnchorGenerator, {}, {}, paste_masks, retinanet=DenseRules(), fcos=DenseRules()),
    "chainercv": Rules(
        ChainerCVPreprocess,
        ChainerCVAnchorGenerator,
        {"inclusive": True, "clip_to_batch": True, "min_size": _NOT_EMPTY},
        {"inclusive": True, "detections_per_img": None, "min_size": _NOT_EMPTY},
        functools.partial(paste_masks, rounded=True),
    ),
    "detectron2": Rules(
        functools.partial(Detectron2Preprocess, **_CAFFE),
        Detectron2AnchorGenerator,
        _RPN,
        {**_ROI_HEADS, "level_rule": LevelRule(ratio_eps=1e-8, level_eps=0.0), "keypoint_probabilities": True},
        paste_masks_at_centers,
        clip_to_photograph=True,
        stride_in_1x1=True,
        retinanet=_MMDETECTION_RETINANET._replace(  # boxes are clipped in the photograph alone
            settings={"detections_per_img": 100, "clip_before_nms": False}, p7_relu=True
        ),
    ),
    "mmdetection": _MMDETECTION,
    "mmdetection_caffe": _MMDETECTION._replace(
        preprocess=functools.partial(MMDetectionPreprocess, **_CAFFE),
        stride_in_1x1=True,
        # the means of Caffe's ResNet are others than those that mmdetection's other detectors are given
        fcos=_MMDETECTION_FCOS._replace(image={"mean": (102.9801, 115.9465, 122.7717)}),
    ),
}
