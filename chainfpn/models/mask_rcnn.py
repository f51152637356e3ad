"""Builders of Mask R-CNN on a feature pyramid."""

import functools

from chainfpn.links.detectors.mask_head import MaskHead, MaskRCNNPredictor
from chainfpn.links.detectors.mask_rcnn import MaskRCNN
from chainfpn.models.detector_parts import fixed_builder
from chainfpn.models.faster_rcnn import DEFAULTS, assemble_rcnn, rcnn_builder
from chainfpn.models.rules import find_rules


def _branches(o, n_output, norm):
    return {"mask_head": MaskHead(o.fpn_channels, norm=norm), "mask_predictor": MaskRCNNPredictor(256, n_output)}


def _assemble(o, *, normed=False):
    """Put the detector together from one value for every option of DEFAULTS."""
    detector = assemble_rcnn(o, normed=normed, link=MaskRCNN, branches=_branches)
    detector.paste = find_rules(o.name, o.rules).paste
    return detector


_assemble_v2 = functools.partial(_assemble, normed=True)
_V2 = "with batch normalization, not frozen, everywhere and deeper heads."
_SOURCE = "He et al. 2017; torchvision 0.14 ``resnet_fpn_backbone``, ``MaskRCNN``."

maskrcnn_resnet50_fpn = fixed_builder(
    "maskrcnn_resnet50_fpn",
    _assemble,
    DEFAULTS,
    MaskRCNN,
    "torchvision's ``maskrcnn_resnet50_fpn``.",
    source="He et al. 2017",
)
maskrcnn_resnet50_fpn_v2 = fixed_builder(
    "maskrcnn_resnet50_fpn_v2",
    _assemble_v2,
    DEFAULTS,
    MaskRCNN,
    f"torchvision's ``maskrcnn_resnet50_fpn_v2``: {_V2}",
    source="Li et al. 2021",
)
maskrcnn_resnet_fpn = rcnn_builder(
    "maskrcnn_resnet_fpn",
    _assemble,
    MaskRCNN,
    "Mask R-CNN on any ResNet, any of its stages, any width of pyramid and head.",
    source=_SOURCE,
)
maskrcnn_resnet_fpn_v2 = rcnn_builder(
    "maskrcnn_resnet_fpn_v2", _assemble_v2, MaskRCNN, f"Mask R-CNN on any ResNet, {_V2}", source=_SOURCE
)
