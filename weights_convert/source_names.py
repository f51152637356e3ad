"""The names in a file without what stands before and beside those of the model."""

import re
from collections import Counter

from weights_convert._typing import Tensors
from weights_convert.report import Report

#: Prefixes that wrappers put before every name: DistributedDataParallel, torch.compile, Lightning.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "updater/model:main/model/", "updater/model:main/")

#: How a model's own names begin, which tells them from what a wrapper has put before them.
_ROOT = re.compile(
    r"(?:^|(?<=[./]))(?:conv1|bn1|layer1|backbone|stem|extractor|encoder_q|base_encoder|features|Conv2d_1a_3x3|toplayer|fpn)[./]"
)

#: What may stand beside the ``backbone`` of a classifier: heads, but none of a detector.
_HEADS = re.compile(r"(?:heads?|linear|classifier|fc|projector|predictor)[./](?!\w+_head[./])")

#: So many beginnings of names are looked at.
_MAX_STARTS = 32

#: What stands beside the parameters of a model, and is none of its own.
_STRAYS = (
    (re.compile(r"(?:.*\.)?(?:n_averaged|num_updates|steps?|global_step|epoch|total_ops|total_params)"), "a counter"),
    (re.compile(r"(?:.*[._])?(?:loss|losses|criterion|loss_fn|metrics?|accuracy|acc)\..*"), "of a loss or a metric"),
)


def without_strays(tensors: Tensors, report: Report) -> Tensors:
    """Leave out what is no parameter of the model: counters, losses, metrics, and mmcv's twins of averaged weights."""
    averaged = {f"ema_{name.replace('.', '_')}" for name in tensors}
    for name in tensors:
        reason = next((why for pattern, why in _STRAYS if pattern.fullmatch(name)), "")
        reason = "averaged, of another tensor (mmcv)" if name in averaged else reason
        if reason:
            report.dropped[name] = f"{reason}, not of the model"
    return {name: tensor for name, tensor in tensors.items() if name not in report.dropped}


def without_prefix(tensors: Tensors, report: Report, *, keep_all: bool) -> Tensors:
    """Take off what stands before a model's names, such as the attribute a LightningModule keeps its network in."""
    starts = Counter(name[: match.start()] for name in tensors if (match := _ROOT.search(name)))
    inside = {start: sum(name.startswith(start) for name in tensors) for start, _ in starts.most_common(_MAX_STARTS)}
    start = max(inside, key=lambda start: (inside[start], -len(start)), default="")
    within = f"{start}backbone."
    beside = [name for name in tensors if name.startswith(start) and not name.startswith(within)]
    if not keep_all and _share(tensors, within) > 0.5 and all(_HEADS.match(name, len(start)) for name in beside):
        start = within
    share = _share(tensors, start)
    if not start or share <= 0.5 or (keep_all and share < 1):
        return tensors
    report.dropped |= {name: f"not under {start}, where the model is" for name in tensors if not name.startswith(start)}
    inner = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
    return without_prefix(inner, report, keep_all=keep_all) if start.endswith("backbone.") else inner


def _share(tensors: Tensors, start: str) -> float:
    """Return how many of all names begin so."""
    return sum(name.startswith(start) for name in tensors) / max(len(tensors), 1)


def strip_wrappers(tensors: Tensors) -> Tensors:
    """Take off the prefixes that wrappers put before every name."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in _WRAPPERS:
            inside = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            if inside and (len(inside) == len(tensors) or prefix.startswith("updater/")):
                tensors, stripped = inside, True
    return tensors
