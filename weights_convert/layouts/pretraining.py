"""Self-supervised ResNets: the trunk is torchvision's, the heads of the pre-training are left out."""

from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule

_HEAD = "head of the pre-training, no classes in it"
_OTHER = "the other network of the pre-training"

MOCO = Layout(
    "MoCo",
    (r"encoder_q\.conv1\.weight",),
    (
        Rule(r"encoder_q\.fc\.", None, _HEAD),
        Rule(r"encoder_q\.", ""),
        Rule(r"encoder_k\.", None, _OTHER),
        Rule(r"queue", None, "negative samples of the pre-training"),
    ),
    complete=True,
)

MOCO_V3 = Layout(
    "MoCo v3",
    (r"base_encoder\.conv1\.weight",),
    (
        Rule(r"base_encoder\.fc\.", None, _HEAD),
        Rule(r"base_encoder\.", ""),
        Rule(r"momentum_encoder\.", None, _OTHER),
        Rule(r"predictor\.", None, _HEAD),
    ),
    complete=True,
)

DINO = Layout(
    "DINO",
    (r"backbone\.conv1\.weight", r"head\.mlp\.0\.weight"),
    (
        Rule(r"backbone\.fc\.", None, _HEAD),
        Rule(r"backbone\.", ""),
        Rule(r"head\.", None, _HEAD),
    ),
    complete=True,
)

SWAV = Layout(
    "SwAV",
    (r"conv1\.weight", r"prototypes\.weight"),
    (
        Rule(r"projection_head\.", None, _HEAD),
        Rule(r"prototypes\.", None, _HEAD),
    ),
)

BARLOW_TWINS = Layout(
    "Barlow Twins",
    (r"backbone\.conv1\.weight", r"projector\.0\.weight"),
    (
        Rule(r"backbone\.fc\.", None, _HEAD),
        Rule(r"backbone\.", ""),
        Rule(r"(?:projector|bn)\.", None, _HEAD),
    ),
    complete=True,
)
