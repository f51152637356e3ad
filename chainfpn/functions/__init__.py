"""Differentiable operations on feature maps."""

from chainfpn.functions.adaptive_avg_pool_2d import adaptive_avg_pool_2d
from chainfpn.functions.adaptive_max_pool_2d import adaptive_max_pool_2d
from chainfpn.functions.convolution_2d import convolution_2d
from chainfpn.functions.multi_scale_roi_align import multi_scale_roi_align
from chainfpn.functions.ps_roi_align import ps_roi_align
from chainfpn.functions.ps_roi_pool import ps_roi_pool
from chainfpn.functions.resize_bilinear import resize_bilinear
from chainfpn.functions.resize_nearest import resize_nearest
from chainfpn.functions.roi_align import roi_align
from chainfpn.functions.roi_pool import roi_pool
from chainfpn.functions.scale_shift import scale_shift

__all__ = [
    "adaptive_avg_pool_2d",
    "adaptive_max_pool_2d",
    "convolution_2d",
    "multi_scale_roi_align",
    "ps_roi_align",
    "ps_roi_pool",
    "resize_bilinear",
    "resize_nearest",
    "roi_align",
    "roi_pool",
    "scale_shift",
]
