"""Builders of FCOS on a ResNet with a feature pyramid."""

from chainfpn.links.detectors.fcos import FCOS, FCOSHead
from chainfpn.models import detector_parts
from chainfpn.models.detector_parts import anchor_generator, dense_builder, fixed_builder, label_options
from chainfpn.models.trunks import dense_backbone

#: Every option and torchvision's value for it.
DEFAULTS = {
    **detector_parts.DEFAULTS,
    "stages": (2, 3, 4),
    "aspect_ratios": (1.0,),
    "p6_from_trunk": False,
    "p7_relu": True,
}


def _assemble(o):
    """Put the detector together from one value for every option of DEFAULTS."""
    n_output, detector = label_options(o)
    strides = [(2 ** (o.stages[0] + 1 + level),) for level in range(len(o.stages) + 2)]
    anchors = anchor_generator(o, strides)
    if anchors.n_anchors != 1:
        raise ValueError(f"{o.name}: there must be one anchor per position, got {anchors.n_anchors}")
    return FCOS(dense_backbone(o), FCOSHead(o.fpn_channels, n_output), anchors, **detector)


fcos_resnet50_fpn = fixed_builder(
    "fcos_resnet50_fpn",
    _assemble,
    DEFAULTS,
    FCOS,
    "torchvision's ``fcos_resnet50_fpn``.",
    source="Tian et al. 2019",
)
fcos_resnet_fpn = dense_builder(
    "fcos_resnet_fpn",
    _assemble,
    DEFAULTS,
    FCOS,
    "FCOS on any ResNet, any of its stages, any width of pyramid.",
    source="Tian et al. 2019; torchvision 0.14 ``FCOS``.",
)
