"""Array code on boxes, without gradients; boxes are yxyx."""

from chainfpn.boxes.anchors import AnchorGenerator
from chainfpn.boxes.box_coder import BoxCoder, LinearBoxCoder
from chainfpn.boxes.chainercv_anchors import ChainerCVAnchorGenerator
from chainfpn.boxes.default_boxes import DefaultBoxGenerator
from chainfpn.boxes.iou import bbox_iou
from chainfpn.boxes.kuangliu_anchors import KuangliuAnchorGenerator
from chainfpn.boxes.matcher import match, match_each
from chainfpn.boxes.non_maximum_suppression import batched_nms, non_maximum_suppression
from chainfpn.boxes.sampler import sample
from chainfpn.boxes.selection import at_least, clip, top_k

__all__ = [
    "AnchorGenerator",
    "BoxCoder",
    "ChainerCVAnchorGenerator",
    "DefaultBoxGenerator",
    "KuangliuAnchorGenerator",
    "LinearBoxCoder",
    "at_least",
    "batched_nms",
    "bbox_iou",
    "clip",
    "match",
    "match_each",
    "non_maximum_suppression",
    "sample",
    "top_k",
]
