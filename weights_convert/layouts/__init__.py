"""Which library wrote these names, and how they become torchvision's."""

from weights_convert.layouts import chainercv, detectron2, kuangliu, mmdetection, pretraining
from weights_convert.layouts.layout import Layout

__all__ = ["LAYOUTS", "Layout", "find_layout"]

_RESNET_D = "timm's ResNet-D has three convolutions in its stem and averages in its shortcuts: no builder here makes it"

#: In this order; the last one takes everything.
LAYOUTS = (
    chainercv.DETECTOR,
    chainercv.RESNET,
    detectron2.DETECTOR,
    detectron2.TRUNK,
    mmdetection.LAYOUT,
    mmdetection.RETINANET,
    kuangliu.FPN,
    kuangliu.RETINANET,
    pretraining.MOCO,
    pretraining.MOCO_V3,
    pretraining.DINO,
    pretraining.SWAV,
    pretraining.BARLOW_TWINS,
    Layout("timm ResNet-D", (r"conv1\.0\.weight", r"layer2\.0\.downsample\.1\.weight"), differs=(_RESNET_D,)),
    Layout("torchvision", ()),
)


def find_layout(names):
    """Return the first `Layout` whose signs the names have."""
    return next(layout for layout in LAYOUTS if layout.fits(names))
