"""Builders of Faster R-CNN on MobileNetV3, for images of high and of low resolution."""

import functools

from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.models import faster_rcnn
from chainfpn.models.classifiers import mobilenet_v3_large
from chainfpn.models.detector_parts import fixed_builder
from chainfpn.models.faster_rcnn import assemble_rcnn
from chainfpn.models.trunk_weights import TrunkClassifier

#: Every option and torchvision's value for it.
DEFAULTS = {**faster_rcnn.DEFAULTS, "anchor_sizes": ((32, 64, 128, 256, 512),) * 3}
DEFAULTS_320 = {**DEFAULTS, "min_size": 320, "max_size": 640}


def _trunk(o, norm):
    """Make the trunk: its first block with stride 32, and its last layer."""
    if o.stride_in_1x1:
        raise ValueError(f"{o.name}: stride_in_1x1 must be False for a MobileNet, got {o.stride_in_1x1!r}")
    body = mobilenet_v3_large(norm=norm).features
    body.pick = ("13", "16")
    return body, [160, 960]


def _classifier(o):
    """Tell which classifier the trunk's weights are from."""
    return TrunkClassifier("mobilenet_v3_large", {"features/": "backbone/body/"}, ("classifier/",))


#: Options of the region proposal network.
_RPN = {"score_thresh": 0.05}
_RPN_320 = {**_RPN, "n_test_pre_nms": 150, "n_test_post_nms": 150}

_assemble = functools.partial(assemble_rcnn, trunk=_trunk, rpn_options=_RPN)
_assemble_320 = functools.partial(assemble_rcnn, trunk=_trunk, rpn_options=_RPN_320)

fasterrcnn_mobilenet_v3_large_fpn = fixed_builder(
    "fasterrcnn_mobilenet_v3_large_fpn",
    _assemble,
    DEFAULTS,
    FasterRCNN,
    "torchvision's ``fasterrcnn_mobilenet_v3_large_fpn``.",
    source="Howard et al. 2019",
    classifier=_classifier,
)
fasterrcnn_mobilenet_v3_large_320_fpn = fixed_builder(
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    _assemble_320,
    DEFAULTS_320,
    FasterRCNN,
    "torchvision's ``fasterrcnn_mobilenet_v3_large_320_fpn``: images of 320 pixels and 150 proposals.",
    source="Howard et al. 2019",
    classifier=_classifier,
)
