"""Which library wrote these names, and how they become torchvision's."""

from collections.abc import Iterable

from weights_convert.layouts import _caffe2, _chainercv, _detectron2, _kuangliu, _mmdetection, _trunks
from weights_convert.layouts._suffixes import complete_names
from weights_convert.layouts.layout import Layout

__all__ = ["FOREIGN_RULES", "LAYOUTS", "Layout", "complete_names", "find_layout", "find_own_names"]

#: Rules of frameworks that have their own names for weights, and take images of 0..255.
FOREIGN_RULES = ("detectron2", "mmdetection", "mmdetection_caffe")

_RESNET_D = "timm's ResNet-D has three convolutions in its stem and averages in its shortcuts: no builder here makes it"

#: In this order; the last one takes everything.
LAYOUTS = (
    *_chainercv.LAYOUTS,
    *_detectron2.LAYOUTS,
    *_caffe2.LAYOUTS,
    *_mmdetection.LAYOUTS,
    *_kuangliu.LAYOUTS,
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


def find_own_names(rules: object, names: Iterable[str]) -> tuple[Layout, dict[str, str]] | None:
    """Return the layout that a model under a framework's rules goes back to, with its names there.

    Args:
        rules (str or None): Its ``rules``.
        names (iterable of str): torchvision's names of its weights.

    Returns:
        tuple or None: The layout and ``{torchvision's name: its name}``; ``None`` where there is no such model.
    """
    names = list(names)
    for layout in LAYOUTS if rules in FOREIGN_RULES else ():
        if layout.names and str(rules).startswith(layout.arguments.get("rules", "-")):
            found = layout.own_names(names)
            if found is not None:
                return layout, found
    return None
