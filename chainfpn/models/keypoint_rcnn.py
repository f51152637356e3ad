"""Builders of Keypoint R-CNN on a ResNet with a feature pyramid."""

from chainfpn.links.detectors.keypoint_head import KeypointRCNNPredictor, keypoint_head
from chainfpn.links.detectors.keypoint_rcnn import KeypointRCNN
from chainfpn.models import faster_rcnn
from chainfpn.models.detector_documentation import document
from chainfpn.models.detector_parts import build
from chainfpn.models.faster_rcnn import assemble_rcnn

#: Every option and torchvision's value for it: people, the joints COCO marks, and several sizes in training.
DEFAULTS = {**faster_rcnn.DEFAULTS, "n_fg_class": 1, "n_keypoint": 17, "min_size": (640, 672, 704, 736, 768, 800)}


def _branches(o, n_output, norm):
    return {
        "keypoint_head": keypoint_head(o.fpn_channels),
        "keypoint_predictor": KeypointRCNNPredictor(512, o.n_keypoint),
    }


def _assemble(o):
    """Put the detector together from one value for every option of DEFAULTS."""
    if o.n_fg_class == 1 and o.label_names is None:
        o.label_names = ("person",)
    return assemble_rcnn(o, link=KeypointRCNN, branches=_branches)


def _on_resnet50(
    n_fg_class=None,
    pretrained_model=None,
    *,
    pretrained_backbone=None,
    n_keypoint=None,
    class_ids=None,
    label_names=None,
    norm_eps=None,
    min_size=None,
    max_size=None,
    anchor_sizes=None,
    aspect_ratios=None,
):
    explicit = {
        "n_fg_class": n_fg_class,
        "n_keypoint": n_keypoint,
        "class_ids": class_ids,
        "label_names": label_names,
        "norm_eps": norm_eps,
        "min_size": min_size,
        "max_size": max_size,
        "anchor_sizes": anchor_sizes,
        "aspect_ratios": aspect_ratios,
    }
    return build(
        "keypointrcnn_resnet50_fpn",
        _assemble,
        DEFAULTS,
        pretrained_model,
        explicit,
        pretrained_backbone=pretrained_backbone,
        zoo=("coco", "coco_legacy"),
    )


def _on_any_resnet(
    depth=None,
    n_fg_class=None,
    pretrained_model=None,
    *,
    pretrained_backbone=None,
    stages=None,
    fpn_channels=None,
    head_channels=None,
    n_keypoint=None,
    class_ids=None,
    label_names=None,
    norm=None,
    norm_eps=None,
    min_size=None,
    max_size=None,
    anchor_sizes=None,
    aspect_ratios=None,
):
    explicit = {
        "depth": depth,
        "n_fg_class": n_fg_class,
        "stages": stages,
        "fpn_channels": fpn_channels,
        "head_channels": head_channels,
        "n_keypoint": n_keypoint,
        "class_ids": class_ids,
        "label_names": label_names,
        "norm": norm,
        "norm_eps": norm_eps,
        "min_size": min_size,
        "max_size": max_size,
        "anchor_sizes": anchor_sizes,
        "aspect_ratios": aspect_ratios,
    }
    return build(
        "keypointrcnn_resnet_fpn",
        _assemble,
        DEFAULTS,
        pretrained_model,
        explicit,
        pretrained_backbone=pretrained_backbone,
    )


keypointrcnn_resnet50_fpn = document(
    _on_resnet50,
    "keypointrcnn_resnet50_fpn",
    KeypointRCNN,
    DEFAULTS,
    summary="torchvision's ``keypointrcnn_resnet50_fpn``.",
    source="He et al. 2017, section 5; torchvision 0.14 ``keypointrcnn_resnet50_fpn``.",
    coco=True,
)
keypointrcnn_resnet_fpn = document(
    _on_any_resnet,
    "keypointrcnn_resnet_fpn",
    KeypointRCNN,
    DEFAULTS,
    summary="Keypoint R-CNN on any ResNet, any of its stages, any width of pyramid and head.",
    source="He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNN``.",
)
