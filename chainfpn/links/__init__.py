"""Networks as ``chainer.Chain`` links, attribute for attribute torchvision's."""

from chainfpn.links.backbones.alexnet import AlexNet
from chainfpn.links.backbones.convnext import ConvNeXt
from chainfpn.links.backbones.densenet import DenseNet
from chainfpn.links.backbones.efficientnet import EfficientNet
from chainfpn.links.backbones.googlenet import GoogLeNet
from chainfpn.links.backbones.inception import InceptionV3
from chainfpn.links.backbones.mobilenet_v2 import MobileNetV2
from chainfpn.links.backbones.mobilenet_v3 import MobileNetV3
from chainfpn.links.backbones.regnet import RegNet
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
from chainfpn.links.backbones.ssd_vgg import SSDVGG16
from chainfpn.links.backbones.swin_transformer import SwinTransformer
from chainfpn.links.backbones.vgg import VGG
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.blocks import conv_norm_activation
from chainfpn.links.classifier import Classifier, ClassifierPreprocess
from chainfpn.links.detectors.cascade_roi_heads import CascadeRoIHeads
from chainfpn.links.detectors.dense_detector import DenseDetector
from chainfpn.links.detectors.detections import DetectedObject, Detections, RawDetections
from chainfpn.links.detectors.detector import Detector
from chainfpn.links.detectors.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead, conv_box_head
from chainfpn.links.detectors.fcos import FCOS, FCOSHead
from chainfpn.links.detectors.framework_preprocess import (
    ChainerCVPreprocess,
    Detectron2Preprocess,
    MMDetectionPreprocess,
)
from chainfpn.links.detectors.keypoint_head import KeypointRCNNPredictor, keypoint_head
from chainfpn.links.detectors.keypoint_rcnn import KeypointRCNN
from chainfpn.links.detectors.mask_head import MaskHead, MaskRCNNPredictor
from chainfpn.links.detectors.mask_rcnn import MaskRCNN
from chainfpn.links.detectors.preprocess import Preprocess
from chainfpn.links.detectors.retinanet import RetinaNet, RetinaNetHead
from chainfpn.links.detectors.roi_heads import RoIHeads
from chainfpn.links.detectors.rpn import RegionProposalNetwork, RPNHead
from chainfpn.links.detectors.scaled_fcos_head import ScaledFCOSHead
from chainfpn.links.detectors.ssd import SSD, SSDHead
from chainfpn.links.fpn import FPN, BackboneWithFPN, LastLevelP6P7, max_pool_level
from chainfpn.links.fusion import fuse_for_inference
from chainfpn.links.group_normalization import GroupNormalization
from chainfpn.links.kuangliu_fpn import KuangliuFPN
from chainfpn.links.kuangliu_retinanet import KuangliuRetinaFPN, KuangliuRetinaNet
from chainfpn.links.layer_normalization import LayerNormalization
from chainfpn.links.layers import Convolution2D, IndexedSequential, Linear
from chainfpn.links.sync_batch_normalization import SyncBatchNormalization

__all__ = [
    "FCOS",
    "FPN",
    "SSD",
    "SSDVGG16",
    "VGG",
    "AlexNet",
    "BackboneWithFPN",
    "BasicBlock",
    "BatchNormalization",
    "Bottleneck",
    "CascadeRoIHeads",
    "ChainerCVPreprocess",
    "Classifier",
    "ClassifierPreprocess",
    "ConvNeXt",
    "Convolution2D",
    "DenseDetector",
    "DenseNet",
    "DetectedObject",
    "Detections",
    "Detector",
    "Detectron2Preprocess",
    "EfficientNet",
    "FCOSHead",
    "FastRCNNPredictor",
    "FasterRCNN",
    "FrozenBatchNormalization",
    "GoogLeNet",
    "GroupNormalization",
    "InceptionV3",
    "IndexedSequential",
    "KeypointRCNN",
    "KeypointRCNNPredictor",
    "KuangliuFPN",
    "KuangliuRetinaFPN",
    "KuangliuRetinaNet",
    "LastLevelP6P7",
    "LayerNormalization",
    "Linear",
    "MMDetectionPreprocess",
    "MaskHead",
    "MaskRCNN",
    "MaskRCNNPredictor",
    "MobileNetV2",
    "MobileNetV3",
    "Preprocess",
    "RPNHead",
    "RawDetections",
    "RegNet",
    "RegionProposalNetwork",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "RetinaNet",
    "RetinaNetHead",
    "RoIHeads",
    "SSDHead",
    "ScaledFCOSHead",
    "SqueezeNet",
    "SwinTransformer",
    "SyncBatchNormalization",
    "TwoMLPHead",
    "conv_box_head",
    "conv_norm_activation",
    "fuse_for_inference",
    "keypoint_head",
    "max_pool_level",
]
