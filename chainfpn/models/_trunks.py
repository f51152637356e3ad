"""Classifiers as trunks of detectors, and the pyramid of detectors of one stage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from chainfpn.errors import InvalidArgument
from chainfpn.links.backbones.resnet import DEPTHS, ResNet
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.fpn import BackboneWithFPN, LastLevelP6P7
from chainfpn.links.group_normalization import GroupNormalization
from chainfpn.models._dense_options import DenseOptions
from chainfpn.models._options import PyramidOptions
from chainfpn.models._record import RESNETS
from chainfpn.models._trunk_weights import TrunkClassifier
from chainfpn.models._types import Norm
from chainfpn.models.registry import MODELS

#: Normalizations that a builder takes by name.
NORMS = {"frozen": FrozenBatchNormalization, "batch": BatchNormalization, "group": GroupNormalization}


def find_norm(name: str, norm: str | Norm, **options: Any) -> Callable[[int], Any]:
    """Return what makes a normalization link for a number of channels.

    Args:
        name (str): The builder.
        norm (str or callable): A key of :data:`NORMS`, or what makes the link.
        **options: Of the link that goes by a name.

    Returns:
        callable: Number of channels to a normalization link.

    Raises:
        InvalidArgument: if there is no normalization of that name.
    """
    if callable(norm):
        return norm
    if norm not in NORMS:
        raise InvalidArgument(name, "norm", f"callable or one of {', '.join(NORMS)}", norm)
    return partial(NORMS[norm], **options)


def trunk_norm(options: PyramidOptions, *, frozen: bool) -> Callable[[int], Any]:
    """Return what makes the normalization of the trunk for a number of channels.

    Args:
        options (PyramidOptions): The builder's options.
        frozen (bool): Where the options do not say it, statistics and affine terms never change.

    Returns:
        callable: Number of channels to a normalization link.
    """
    eps = options.norm_eps
    if eps is None:  # the trunk's own, if it has any
        eps = next(file.eps for file in MODELS[options.trunk].weights.values()) or 1e-5
    return find_norm(options.name, options.norm or ("frozen" if frozen else "batch"), eps=eps)


def build_trunk(options: PyramidOptions, norm: Callable[[int], Any]) -> tuple[Any, list[int]]:
    """Return a classifier that returns its stages, and the channels of each of them, finest first.

    Args:
        options (PyramidOptions): The builder's options.
        norm (callable): Makes a normalization link for a number of channels.

    Returns:
        tuple: The trunk, and the channels of the stages.

    Raises:
        InvalidArgument: if an option is for a ResNet, or for batch normalizations, and the trunk has none.
    """
    if options.trunk not in RESNETS:
        return _features(options, norm)
    depth, groups, width = RESNETS[options.trunk]
    stride_in_1x1 = options.stride_in_1x1
    if stride_in_1x1 is None:  # a basic block has no 1x1
        stride_in_1x1 = options.rule_set.stride_in_1x1 and depth >= 50 and groups == 1
    inside = partial(ResNet, groups=groups, width_per_group=width, stride_in_1x1=stride_in_1x1)
    trunk = inside(*DEPTHS[depth], norm=norm)
    trunk.pick = tuple(f"layer{stage}" for stage in options.stages)
    trunk.remove_unused()
    return trunk, [trunk.out_channels[stage - 1] for stage in options.stages]


def _features(options, norm):
    """Return what computes the stages of a classifier that is no ResNet: ``features``, or all but the head."""
    model, (parent, names) = MODELS[options.trunk], _stage_names(options)
    if options.stride_in_1x1:
        raise InvalidArgument(options.name, "stride_in_1x1", f"False with {model.name}", True)
    if isinstance(options.norm, str) and "norm" not in model.options:  # else it is the pyramid's and the heads'
        raise InvalidArgument(options.name, "norm", f"None with {model.name}, which has no batch norm", options.norm)
    network = model.builder(0, **({"norm": norm} if "norm" in model.options else {}))
    stages = network[parent]
    stages.pick = names
    stages.remove_unused()
    channels = list(model.stages.values())
    network.pick = parent
    network.remove_unused()
    trunk = stages if parent == "features" else network
    return trunk, [channels[stage - 1] for stage in options.stages]


def _stage_names(options):
    """Return the layer that has the stages, and their names there."""
    ends = [name.split(".") for name in MODELS[options.trunk].stages]
    return ends[0][0], tuple(ends[stage - 1][1] for stage in options.stages)


def dense_backbone(options: DenseOptions, *, frozen: bool = True) -> BackboneWithFPN:
    """Return the backbone of a detector of one stage: a trunk and a pyramid with the levels P6 and P7.

    Args:
        options (DenseOptions): The builder's options.
        frozen (bool): See :func:`trunk_norm`.

    Returns:
        BackboneWithFPN: (B, 3, H, W) to two levels more than stages.
    """
    trunk, channels = build_trunk(options, trunk_norm(options, frozen=frozen))
    p6_from_trunk, p7_relu = (
        getattr(options.dense_rules, name) if getattr(options, name) is None else getattr(options, name)
        for name in ("p6_from_trunk", "p7_relu")
    )
    in_channels = channels[-1] if p6_from_trunk else options.fpn_channels
    levels = LastLevelP6P7(in_channels, options.fpn_channels, relu=p7_relu)
    return BackboneWithFPN(trunk, channels, options.fpn_channels, extra_blocks=levels)


def find_classifier(options: PyramidOptions) -> TrunkClassifier:
    """Return the classifier that a trunk's weights are from; its head and cut-off stages are left out."""
    if options.trunk in RESNETS:
        cut = tuple(f"layer{stage}/" for stage in range(options.stages[-1] + 1, 5))
        return TrunkClassifier(options.trunk, {"": "backbone/body/"}, ("fc/", *cut))
    parent, names = _stage_names(options)
    kind = names[-1].rstrip("0123456789")
    cut = tuple(f"{parent}/{kind}{i}/" for i in range(int(names[-1].removeprefix(kind)) + 1, 10))
    place = "features/" if parent == "features" else ""
    return TrunkClassifier(options.trunk, {place: "backbone/body/"}, ("fc/", "classifier/", "norm/", "head/", *cut))
