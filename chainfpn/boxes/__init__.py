"""Array code on boxes, without gradients; boxes are yxyx."""

from chainfpn.boxes.anchors import (
    AnchorGenerator,
    ChainerCVAnchorGenerator,
    Detectron2AnchorGenerator,
    KuangliuAnchorGenerator,
    MMDetectionAnchorGenerator,
    MMDetectionPointGenerator,
)
from chainfpn.boxes.box_coder import BoxCoder, LinearBoxCoder
from chainfpn.boxes.default_boxes import DefaultBoxGenerator
from chainfpn.boxes.filtering import batched_nms, clip, nms, remove_small_boxes, top_k
from chainfpn.boxes.iou import bbox_iou
from chainfpn.boxes.matcher import match, match_ssd, sample

__all__ = [
    "AnchorGenerator",
    "BoxCoder",
    "ChainerCVAnchorGenerator",
    "DefaultBoxGenerator",
    "Detectron2AnchorGenerator",
    "KuangliuAnchorGenerator",
    "LinearBoxCoder",
    "MMDetectionAnchorGenerator",
    "MMDetectionPointGenerator",
    "batched_nms",
    "bbox_iou",
    "clip",
    "match",
    "match_ssd",
    "nms",
    "remove_small_boxes",
    "sample",
    "top_k",
]
