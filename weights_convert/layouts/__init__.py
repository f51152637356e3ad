"""Which library wrote these names, and how they become torchvision's."""

from collections.abc import Iterable

from weights_convert.layouts import _chainercv, _detectron2, _kuangliu, _mmdetection, _trunks
from weights_convert.layouts.layout import Layout

__all__ = ["LAYOUTS", "Layout", "find_layout"]

_RESNET_D = "timm's ResNet-D has three convolutions in its stem and averages in its shortcuts: no builder here makes it"

#: In this order; the last one takes everything.
LAYOUTS = (
    _chainercv.DETECTOR,
    _chainercv.RESNET,
    _detectron2.DETECTOR,
    _detectron2.TRUNK,
    _mmdetection.TWO_STAGE,
    _mmdetection.RETINANET,
    _kuangliu.FPN,
    _kuangliu.RETINANET,
    Layout("timm ResNet-D", (r"conv1\.0\.weight", r"layer2\.0\.downsample\.1\.weight"), differs=(_RESNET_D,)),
    Layout("torchvision", ()),
)


def find_layout(names: Iterable[str], *, trunks: bool = True) -> Layout:
    """Return the first `Layout` whose signature the names have.

    Args:
        names (iterable of str): Those in the file.
        trunks (bool): Look for a trunk with what stands beside it, too, which is left out.
    """
    names = list(names)
    layout = next(layout for layout in LAYOUTS if layout.fits(names))
    return (None if layout.signature or not trunks else _trunks.find_trunk_layout(names)) or layout
