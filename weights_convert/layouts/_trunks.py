"""Trunks alone: self-supervised ResNets, a ResNet's layers in a Sequential, and the ``features`` of other networks.

Of pre-training, the papers' repositories and Lightly differ only in what they call the network, its other copy and its
heads. One network is told by its ResNet; the other, the heads and the queue are left out, each with the reason.
"""

import re
from collections.abc import Iterable

from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule
from weights_convert.tensor_fixups import fill_last_norm

_HEAD = "head of the pre-training, no classes in it"
_OTHER = "the other network of the pre-training"
_QUEUE = "negative samples of the pre-training"

#: A network that follows another, or that the other is compared with. Of a student and a teacher the teacher is better.
_FOLLOWER = re.compile(r"(?:.*[._])?(?:encoder_k|key|momentum|target|ema|student)(?:[._].*|\d*\.)")

#: What may stand before both a network and its heads.
_AROUND = r"(?:(?:module|model|net|(?:online|target)_(?:encoder|network))\.)*"

#: What stands beside a network, and why it is left out.
_BESIDE = (
    (re.compile(r"(?:.*[._])?queue\w*(?:\..*)?"), _QUEUE),
    (
        re.compile(
            _AROUND + r"(?:\w*project\w*|proj|projetion|\w*predict\w*|\w*prototypes?\w*|mlp\w*|g|bn|last_layer|center|"
            r"(?:student|teacher|contrastive|ssl)_heads?|heads?\.(?:mlp|last_layer))(?:\..*)?"
        ),
        _HEAD,
    ),
)

#: The same beside a network that has a name.
_HEADS = re.compile(_AROUND + r"(?:heads?|linear|classifier|fc|\d+)\..*")

_ANY_METHOD = "self-supervised pre-training"

#: Methods by a name that only they have.
_METHODS = (
    ("MoCo", r"(?:.*\.)?encoder_q\."),
    ("MoCo v3", r"(?:.*\.)?base_encoder\."),
    ("SwAV", r"(?:.*\.)?prototypes\."),
    ("DINO", r"(?:.*\.)?(?:head\.mlp|student_|teacher_)"),
    ("BYOL", r"(?:.*\.)?(?:online_|target_)|.*_momentum\."),
    ("Barlow Twins or VICReg", r"(?:.*\.)?projector\."),
)

#: A ResNet's children by number, as ``nn.Sequential(*resnet.children())`` names them.
_CHILDREN = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4", 9: "fc"}

#: The first layers of what torchvision keeps in ``features``.
_FEATURES = re.compile(r"(?:\d+|conv0|norm0|denseblock\d|transition\d|norm5)\.")


def find_trunk_layout(names: Iterable[str]) -> Layout | None:
    """Return the layout of a trunk with what stands beside it, or ``None`` if the names are of something else."""
    names = set(names)
    networks = _networks(names)
    own = [prefix for prefix in networks if not _FOLLOWER.fullmatch(prefix)] or list(networks)
    if len(own) != 1:
        return _features(names) if not networks else None
    prefix, others = own[0], networks.keys() - {own[0]}
    beside = [name for name in names if not name.startswith(prefix)] if prefix else []
    beside += [name for name in names if not prefix and not _of_network(name)]
    reasons = {name: _reason(name, others, named=bool(prefix)) for name in beside}
    if not all(reasons.values()):
        return None
    fc = {name.removeprefix(f"{prefix}fc.") for name in names if name.startswith(f"{prefix}fc.")}
    if prefix and fc and (fc != {"weight", "bias"} or prefix.endswith("encoder_q.")):
        reasons |= {f"{prefix}fc.{name}": _HEAD for name in fc}
    if not (prefix or reasons or networks[prefix]):
        return None  # torchvision's own names, which need no rule
    method = next((method for method, pattern in _METHODS if any(re.match(pattern, n) for n in names)), _ANY_METHOD)
    rules = [Rule(re.escape(prefix) + r"(layer\d\.\d+)\.shortcut\.", r"\1.downsample."), Rule(re.escape(prefix), "")]
    if networks[prefix]:
        rules = [Rule(f"{re.escape(prefix)}{number}\\.", f"{new}.") for number, new in _CHILDREN.items()]
    name = method if reasons else "torchvision, in a module"
    return Layout(name, (), tuple(rules), complete=bool(prefix), left_out=reasons)


def _networks(names: set[str]) -> dict[str, bool]:
    """Return ``{prefix: whether its layers have numbers}`` of every ResNet."""
    found = {}
    for name in names:
        for last, stem, numbered in (("layer1.0.conv1.weight", "conv1", False), ("4.0.conv1.weight", "0", True)):
            prefix = name.removesuffix(last)
            if name.endswith(last) and prefix[-1:] in ("", ".") and f"{prefix}{stem}.weight" in names:
                found[prefix] = numbered
    return found


def _of_network(name: str) -> bool:
    return re.match(r"(?:conv1|bn1|layer[1-4]|fc|[0-9])\.", name) is not None


def _reason(name: str, others: set[str], *, named: bool) -> str:
    starts = {name[: dot.end()] for dot in re.finditer(r"\.", name)}
    if others & starts or _FOLLOWER.fullmatch(name):
        return _OTHER
    other_head = "of another head than the trunk's" if named and _HEADS.fullmatch(name) else ""
    return next((why for pattern, why in _BESIDE if pattern.fullmatch(name)), other_head)


def _features(names: set[str]) -> Layout | None:
    """Return the layout of what torchvision keeps in ``features``, without that name."""
    stems = {"0.weight", "0.0.weight", "conv0.weight"}
    if not names & stems or not all(_FEATURES.match(name) for name in names):
        return None
    return Layout("the features of a network", (), (Rule("", "features."),), fixups=(fill_last_norm,))
