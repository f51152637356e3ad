"""Differentiable operations on feature maps."""

from chainfpn.functions._adaptive_pool_2d import adaptive_avg_pool_2d, adaptive_max_pool_2d
from chainfpn.functions._convolution_2d import convolution_2d
from chainfpn.functions._focal_loss import sigmoid_focal_loss
from chainfpn.functions._gather import gather, gather_class
from chainfpn.functions._giou_loss import giou_loss
from chainfpn.functions._losses import binary_cross_entropy, cross_entropy, smooth_l1_loss
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.functions._multi_scale_roi_align import multi_scale_roi_align
from chainfpn.functions._resize import resize_bilinear, resize_nearest
from chainfpn.functions._roi_ops import ps_roi_align, ps_roi_pool, roi_align, roi_pool
from chainfpn.functions._scale_shift import scale_shift

__all__ = [
    "adaptive_avg_pool_2d",
    "adaptive_max_pool_2d",
    "binary_cross_entropy",
    "convolution_2d",
    "cross_entropy",
    "gather",
    "gather_class",
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
]
