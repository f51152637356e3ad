"""Self-supervised ResNets: the trunk is torchvision's, the heads of the pre-training are left out."""

from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule

_HEAD = "head of the pre-training, no classes in it"
_OTHER = "the other network of the pre-training"


def _layout(name: str, signature: tuple[str, ...], trunk: str, heads: str, **others: str) -> Layout:
    """Return the layout of names under ``trunk`` (or of the names as they are, if it is empty)."""
    dropped = [Rule(f"(?:{heads})", None, _HEAD), *(Rule(start, None, why) for start, why in others.items())]
    renamed = [Rule(rf"{trunk}fc\.", None, _HEAD), Rule(trunk, "")] if trunk else []
    return Layout(name, signature, (*dropped, *renamed), complete=bool(trunk))


MOCO = _layout(
    "MoCo",
    (r"encoder_q\.conv1\.weight",),
    r"encoder_q\.",
    r"encoder_q\.fc\.",
    encoder_k=_OTHER,
    queue="negative samples of the pre-training",
)
MOCO_V3 = _layout(
    "MoCo v3",
    (r"base_encoder\.conv1\.weight",),
    r"base_encoder\.",
    r"predictor\.",
    momentum_encoder=_OTHER,
)
DINO = _layout("DINO", (r"backbone\.conv1\.weight", r"head\.mlp\.0\.weight"), r"backbone\.", r"head\.")
SWAV = _layout("SwAV", (r"conv1\.weight", r"prototypes\.weight"), "", r"projection_head\.|prototypes\.")
BARLOW_TWINS = _layout(
    "Barlow Twins", (r"backbone\.conv1\.weight", r"projector\.0\.weight"), r"backbone\.", r"(?:projector|bn)\."
)
