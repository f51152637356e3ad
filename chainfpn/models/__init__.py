"""Builders with torchvision's names, and models from weight files."""

from chainfpn.models.faster_rcnn import fasterrcnn_resnet50_fpn, fasterrcnn_resnet_fpn
from chainfpn.models.fpn import fpn50, fpn101
from chainfpn.models.load import BUILDERS, load
from chainfpn.models.resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)

__all__ = [
    "BUILDERS",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet_fpn",
    "fpn50",
    "fpn101",
    "load",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
