"""Differentiable operations on feature maps."""

from chainfpn.functions.adaptive_avg_pool_2d import adaptive_avg_pool_2d
from chainfpn.functions.adaptive_max_pool_2d import adaptive_max_pool_2d
from chainfpn.functions.binary_cross_entropy import binary_cross_entropy
from chainfpn.functions.convolution_2d import convolution_2d
from chainfpn.functions.cross_entropy import cross_entropy
from chainfpn.functions.focal_loss import sigmoid_focal_loss
from chainfpn.functions.giou_loss import giou_loss
from chainfpn.functions.max_pool_2d import max_pool_2d
from chainfpn.functions.multi_scale_roi_align import multi_scale_roi_align
from chainfpn.functions.ps_roi_align import ps_roi_align
from chainfpn.functions.ps_roi_pool import ps_roi_pool
from chainfpn.functions.resize_bilinear import resize_bilinear
from chainfpn.functions.resize_nearest import resize_nearest
from chainfpn.functions.roi_align import roi_align
from chainfpn.functions.roi_pool import roi_pool
from chainfpn.functions.scale_shift import scale_shift
from chainfpn.functions.smooth_l1_loss import smooth_l1_loss
from chainfpn.functions.take_outputs import take_outputs
from chainfpn.functions.take_rows import take_rows

__all__ = [
    "adaptive_avg_pool_2d",
    "adaptive_max_pool_2d",
    "binary_cross_entropy",
    "convolution_2d",
    "cross_entropy",
    "giou_loss",
    "max_pool_2d",
    "multi_scale_roi_align",
    "ps_roi_align",
    "ps_roi_pool",
    "resize_bilinear",
    "resize_nearest",
    "roi_align",
    "roi_pool",
    "scale_shift",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "take_outputs",
    "take_rows",
]
