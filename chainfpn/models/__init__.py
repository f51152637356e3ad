"""Builders with torchvision's names, and models from weight files."""

from chainfpn.models.classifiers import (
    alexnet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    googlenet,
    inception_v3,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
    squeezenet1_0,
    squeezenet1_1,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from chainfpn.models.detector_parts import COCO_CLASS_IDS
from chainfpn.models.faster_rcnn import (
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    fasterrcnn_resnet_fpn,
    fasterrcnn_resnet_fpn_v2,
)
from chainfpn.models.fcos import fcos_resnet50_fpn, fcos_resnet_fpn
from chainfpn.models.fpn import fpn50, fpn101
from chainfpn.models.keypoint_rcnn import keypointrcnn_resnet50_fpn, keypointrcnn_resnet_fpn
from chainfpn.models.kuangliu_retinanet import retinanet_kuangliu
from chainfpn.models.load import BUILDERS, load
from chainfpn.models.mask_rcnn import (
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
    maskrcnn_resnet_fpn,
    maskrcnn_resnet_fpn_v2,
)
from chainfpn.models.mobile_faster_rcnn import fasterrcnn_mobilenet_v3_large_320_fpn, fasterrcnn_mobilenet_v3_large_fpn
from chainfpn.models.presets import PRESETS, Preset, find_preset
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
from chainfpn.models.retinanet import (
    retinanet_resnet50_fpn,
    retinanet_resnet50_fpn_v2,
    retinanet_resnet_fpn,
    retinanet_resnet_fpn_v2,
)
from chainfpn.models.ssd import ssd300_vgg16

__all__ = [
    "BUILDERS",
    "COCO_CLASS_IDS",
    "PRESETS",
    "Preset",
    "alexnet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet_fpn",
    "fasterrcnn_resnet_fpn_v2",
    "fcos_resnet50_fpn",
    "fcos_resnet_fpn",
    "find_preset",
    "fpn50",
    "fpn101",
    "googlenet",
    "inception_v3",
    "keypointrcnn_resnet50_fpn",
    "keypointrcnn_resnet_fpn",
    "load",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet_fpn",
    "maskrcnn_resnet_fpn_v2",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "retinanet_kuangliu",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "retinanet_resnet_fpn",
    "retinanet_resnet_fpn_v2",
    "squeezenet1_0",
    "squeezenet1_1",
    "ssd300_vgg16",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
