"""kuangliu's pytorch-fpn and pytorch-retinanet: names of their own, kept; only the shortcut has two spellings."""

from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule

_SHORTCUT = (Rule(r"((?:fpn\.)?layer\d\.\d+)\.shortcut\.", r"\1.downsample."),)

LAYOUTS = (
    Layout(
        "kuangliu/pytorch-fpn",
        (r"toplayer\.weight", r"latlayer3\.weight"),
        _SHORTCUT,
        differs=("enlarged with align_corners before PyTorch 0.4: --meta align_corners=true for weights that old",),
    ),
    Layout("kuangliu/pytorch-retinanet", (r"loc_head\.0\.weight", r"cls_head\.0\.weight"), _SHORTCUT),
)
