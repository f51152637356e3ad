"""Builders of RetinaNet on a ResNet with a feature pyramid."""

import functools

from chainfpn.links.detectors.retinanet import RetinaNet, RetinaNetHead
from chainfpn.links.group_normalization import GroupNormalization
from chainfpn.models import detector_parts
from chainfpn.models.detector_parts import anchor_generator, dense_builder, fixed_builder, label_options
from chainfpn.models.trunks import dense_backbone

#: Every option and torchvision's value for it.
DEFAULTS = {**detector_parts.DEFAULTS, "stages": (2, 3, 4), "p6_from_trunk": False, "p7_relu": True}
DEFAULTS_V2 = {**DEFAULTS, "p6_from_trunk": True}


def _assemble(o, *, normed=False):
    """Put the detector together from one value for every option of DEFAULTS."""
    n_output, detector = label_options(o)
    sizes = [[int(32 * 2**level * 2 ** (third / 3)) for third in range(3)] for level in range(len(o.stages) + 2)]
    anchors = anchor_generator(o, sizes)
    version = {"norm": GroupNormalization, "box_loss": "giou"} if normed else {}
    return RetinaNet(
        dense_backbone(o, frozen=not normed),
        RetinaNetHead(o.fpn_channels, anchors.n_anchors, n_output, **version),
        anchors,
        **detector,
    )


_assemble_v2 = functools.partial(_assemble, normed=True)
_V2 = "group normalization in its heads, boxes trained by GIoU."
_SOURCE = "Lin et al. 2017 (RetinaNet); torchvision 0.14 ``RetinaNet``."

retinanet_resnet50_fpn = fixed_builder(
    "retinanet_resnet50_fpn",
    _assemble,
    DEFAULTS,
    RetinaNet,
    "torchvision's ``retinanet_resnet50_fpn``.",
    source="Lin et al. 2017 (RetinaNet)",
)
retinanet_resnet50_fpn_v2 = fixed_builder(
    "retinanet_resnet50_fpn_v2",
    _assemble_v2,
    DEFAULTS_V2,
    RetinaNet,
    f"torchvision's ``retinanet_resnet50_fpn_v2``: {_V2}",
    source="Zhang et al. 2019",
)
retinanet_resnet_fpn = dense_builder(
    "retinanet_resnet_fpn",
    _assemble,
    DEFAULTS,
    RetinaNet,
    "RetinaNet on any ResNet, any of its stages, any width of pyramid.",
    source=_SOURCE,
)
retinanet_resnet_fpn_v2 = dense_builder(
    "retinanet_resnet_fpn_v2", _assemble_v2, DEFAULTS_V2, RetinaNet, f"RetinaNet on any ResNet: {_V2}", source=_SOURCE
)
