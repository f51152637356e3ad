"""The builder of SSD300 on VGG-16."""

from chainfpn.boxes.default_boxes import DefaultBoxGenerator
from chainfpn.links.backbones.ssd_vgg import POOL4, SSDVGG16
from chainfpn.links.detectors.preprocess import Preprocess
from chainfpn.links.detectors.ssd import SSD, SSDHead
from chainfpn.models.detector_documentation import document
from chainfpn.models.detector_parts import build, label_options
from chainfpn.models.presets import CAFFE
from chainfpn.models.trunk_weights import TrunkClassifier

#: Every option and torchvision's value for it.
DEFAULTS = {"n_fg_class": None, "class_ids": None, "label_names": None}

#: Per map: ratios of the default boxes, pixels per position; and the boxes' shares of the image, with one to follow.
ASPECT_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
STEPS = (8, 16, 32, 64, 100, 300)
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)


def _assemble(o):
    """Put the detector together from one value for every option of DEFAULTS."""
    mean, std = CAFFE
    n_output, detector = label_options(o, Preprocess(mean=mean, std=std, fixed_size=(300, 300), size_divisible=1))
    backbone = SSDVGG16()
    anchors = DefaultBoxGenerator(ASPECT_RATIOS, SCALES, STEPS)
    head = SSDHead(backbone.out_channels, anchors.n_anchors, n_output)
    return SSD(backbone, head, anchors, n_candidates=400, **detector)


def _classifier(o):
    """Tell which classifier the trunk's weights are from: torchvision's are those published for this input."""
    places = {f"features/{i}/": f"backbone/features/{i}/" for i in range(POOL4)}
    places |= {f"features/{i}/": f"backbone/extra/0/{i - POOL4}/" for i in range(POOL4, POOL4 + 7)}
    return TrunkClassifier("vgg16", places, ("classifier/",), {"imagenet": "imagenet_features"})


def _ssd300_vgg16(
    n_fg_class=None, pretrained_model=None, *, pretrained_backbone=None, class_ids=None, label_names=None
):
    explicit = {"n_fg_class": n_fg_class, "class_ids": class_ids, "label_names": label_names}
    return build(
        "ssd300_vgg16",
        _assemble,
        DEFAULTS,
        pretrained_model,
        explicit,
        pretrained_backbone=pretrained_backbone,
        classifier=_classifier,
        zoo=("coco",),
    )


ssd300_vgg16 = document(
    _ssd300_vgg16,
    "ssd300_vgg16",
    SSD,
    DEFAULTS,
    summary="torchvision's ``ssd300_vgg16``, which sees every image as 300 x 300 pixels.",
    source="Liu et al. 2016 (SSD); torchvision 0.14 ``ssd300_vgg16``.",
    coco=True,
)
