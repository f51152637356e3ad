"""Networks as ``chainer.Chain`` links, attribute for attribute torchvision's."""

from chainfpn.links.backbones.alexnet import AlexNet
from chainfpn.links.backbones.backbone_with_fpn import BackboneWithFPN
from chainfpn.links.backbones.densenet import DenseNet
from chainfpn.links.backbones.googlenet import GoogLeNet
from chainfpn.links.backbones.inception import InceptionV3
from chainfpn.links.backbones.mobilenet_v2 import MobileNetV2
from chainfpn.links.backbones.mobilenet_v3 import MobileNetV3
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
from chainfpn.links.backbones.squeezenet import SqueezeNet
from chainfpn.links.backbones.vgg import VGG
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.classifier import Classifier, ClassifierPreparation
from chainfpn.links.conv_norm_activation import conv_norm_activation
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
    "VGG",
    "AlexNet",
    "BackboneWithFPN",
    "BasicBlock",
    "BatchNormalization",
    "Bottleneck",
    "Classifier",
    "ClassifierPreparation",
    "DenseNet",
    "Detection",
    "Detector",
    "FastRCNNPredictor",
    "FasterRCNN",
    "FrozenBatchNormalization",
    "GoogLeNet",
    "InceptionV3",
    "IndexedSequential",
    "KuangliuFPN",
    "LastLevelP6P7",
    "MobileNetV2",
    "MobileNetV3",
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
    "SqueezeNet",
    "TwoMLPHead",
    "conv_norm_activation",
    "max_pool_level",
]
