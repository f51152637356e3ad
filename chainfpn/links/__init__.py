"""Networks as ``chainer.Chain`` links, attribute for attribute torchvision's."""

from chainfpn.links.backbones.backbone_with_fpn import BackboneWithFPN
from chainfpn.links.backbones.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
)
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.detectors.box_head import FastRCNNPredictor, TwoMLPHead
from chainfpn.links.detectors.detector import Detection, Detector
from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.preparation import Preparation
from chainfpn.links.detectors.roi_heads import RoIHeads
from chainfpn.links.detectors.rpn import RegionProposalNetwork, RPNHead
from chainfpn.links.fpn import FPN, LastLevelP6P7, max_pool_level
from chainfpn.links.indexed_sequential import IndexedSequential
from chainfpn.links.kuangliu_fpn import KuangliuFPN

__all__ = [
    "FPN",
    "BackboneWithFPN",
    "BasicBlock",
    "BatchNormalization",
    "Bottleneck",
    "Detection",
    "Detector",
    "FastRCNNPredictor",
    "FasterRCNN",
    "FrozenBatchNormalization",
    "IndexedSequential",
    "KuangliuFPN",
    "LastLevelP6P7",
    "Preparation",
    "RPNHead",
    "RegionProposalNetwork",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "RoIHeads",
    "TwoMLPHead",
    "max_pool_level",
]
