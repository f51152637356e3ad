"""Classifiers as trunks of detectors, their weights, and the pyramid of detectors of one stage."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from chainfpn._imagenet import IMAGENET_MEAN, IMAGENET_STD
from chainfpn._option_rules import check_option
from chainfpn._typing import Norm
from chainfpn.errors import InvalidArgument
from chainfpn.links.backbones.resnet import DEPTHS, ResNet
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.fpn import BackboneWithFPN, LastLevelP6P7
from chainfpn.links.group_normalization import GroupNormalization
from chainfpn.models._dense_options import DenseOptions
from chainfpn.models._options import DetectorOptions, PyramidOptions
from chainfpn.models._record import RESNETS
from chainfpn.models._weights import Weights, find_weights
from chainfpn.models.registry import MODELS
from chainfpn.serialization import WeightsError, set_weights

#: Normalizations that a builder takes by name.
NORMS = {"frozen": FrozenBatchNormalization, "batch": BatchNormalization, "group": GroupNormalization}

#: Options of a detector that its trunk's weights may ask for.
_OPTIONS = ("norm_eps", "stride_in_1x1", "norm")

#: torchvision's input, which a trunk's weights are for, in pixels of 0..255: for rules whose own input is Caffe's.
_INPUT = {
    "channel_order": "RGB",
    "image_mean": tuple(round(255 * value, 3) for value in IMAGENET_MEAN),
    "image_std": tuple(round(255 * value, 3) for value in IMAGENET_STD),
}


def find_norm(norm: str | Norm, **options: Any) -> Norm:
    """Return what makes a normalization for a number of channels: the norm itself, or the link of that name."""
    return norm if callable(norm) else partial(NORMS[norm], **options)


def trunk_norm(options: PyramidOptions, *, frozen: bool) -> Norm:
    """Return what makes the normalization of the trunk, ``frozen`` or not where the options do not say it."""
    eps = options.norm_eps
    if eps is None:  # the trunk's own, if it has any
        eps = next(file.eps for file in MODELS[options.trunk].weights.values()) or 1e-5
    return find_norm(options.norm or ("frozen" if frozen else "batch"), eps=eps)


def build_trunk(options: PyramidOptions, norm: Norm) -> tuple[Any, list[int]]:
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
        return _classifier_stages(options, norm)
    depth, groups, width = RESNETS[options.trunk]
    stride_in_1x1 = options.stride_in_1x1
    if stride_in_1x1 is None:  # a basic block has no 1x1
        stride_in_1x1 = options.rule_set.stride_in_1x1 and depth >= 50 and groups == 1
    inside = partial(ResNet, groups=groups, width_per_group=width, stride_in_1x1=stride_in_1x1)
    trunk = inside(*DEPTHS[depth], norm=norm)
    trunk.pick = tuple(f"layer{stage}" for stage in options.stages)
    trunk.remove_unused()
    return trunk, [trunk.out_channels[stage - 1] for stage in options.stages]


def _classifier_stages(options, norm):
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
    p6_from_trunk, p7_relu = (options.by_rules(name, options.dense_rules) for name in ("p6_from_trunk", "p7_relu"))
    in_channels = channels[-1] if p6_from_trunk else options.fpn_channels
    levels = LastLevelP6P7(in_channels, options.fpn_channels, relu=p7_relu)
    return BackboneWithFPN(trunk, channels, options.fpn_channels, extra_blocks=levels)


class TrunkClassifier(NamedTuple):
    """The classifier that a detector's trunk is the larger part of.

    Attributes:
        builder (str): Its builder.
        prefixes (mapping): Beginnings of its names to those of the detector's names, which it must fill completely.
        left_out (tuple of str): Beginnings of the names that the trunk has no use for.
        words (mapping): The words for torchvision's published weights to those the zoo has for them.
    """

    builder: str
    prefixes: Mapping[str, str]
    left_out: tuple[str, ...]
    words: Mapping[str, str] = MappingProxyType({"imagenet": "imagenet", "imagenet_v2": "imagenet_v2"})

    def find(self, pretrained_backbone: str | os.PathLike[str] | Weights) -> TrunkWeights:
        """Read weights.

        Args:
            pretrained_backbone (str, os.PathLike or Weights): A word of ``words``; a path; or weights that have been
                read already.

        Returns:
            TrunkWeights: They, under the detector's names.

        Raises:
            WeightsError: if the file is not what it should be.
            OSError: if there is no such file, or torchvision's cannot be had.
        """
        if not isinstance(pretrained_backbone, Weights):
            pretrained_backbone = self.words.get(os.fspath(pretrained_backbone), pretrained_backbone)
        weights = find_weights(pretrained_backbone, name=self.builder, words=self.words.values(), any_names=True)
        model = str(weights.meta.get("model"))
        if model in MODELS and MODELS[model].task == "detection":
            raise WeightsError(f"{weights.file}: is of a whole detector, {model}, which pretrained_model takes")
        prefixes, left_out = self.prefixes, self.left_out
        if any(name.startswith("body/") for name in weights.arrays):  # with its pyramid
            prefixes, left_out = {"": self.prefixes.get("", "").removesuffix("body/")}, ()
        arrays = {
            _rename(name, prefixes): array
            for name, array in weights.arrays.items()
            if not name.startswith(left_out or "\0")
        }
        return TrunkWeights(weights._replace(arrays=arrays), tuple(prefixes.values()))


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    """Return the detector's name for one of the classifier's."""
    start = next((start for start in prefixes if name.startswith(start)), None)
    return name if start is None else prefixes[start] + name[len(start) :]


class TrunkWeights(NamedTuple):
    """Weights under a detector's names, and the beginnings of the names they must fill completely."""

    weights: Weights
    prefixes: tuple[str, ...]

    def settle(self, options: DetectorOptions, explicit: Collection[str]) -> DetectorOptions:
        """Return the detector's options with those that the weights ask for.

        Args:
            options (DetectorOptions): The detector's.
            explicit (collection of str): Names of those that the caller has passed, which stay.
        """
        requested = {key: value for key, value in self.weights.arguments.items() if key in _OPTIONS}
        settings: dict[str, Any] = {}
        if isinstance(options, PyramidOptions) and options.rule_set.stride_in_1x1:
            requested = {"stride_in_1x1": False, **requested}
            settings = {} if _INPUT.keys() & explicit else _INPUT
        missing = {entry.name for entry in fields(options)} - set(explicit)
        requested = {key: value for key, value in requested.items() if key in missing}
        for key, value in requested.items():
            check_option(options.name, key, value)
        return replace(options, **requested, settings={**settings, **options.settings})

    def load_into(self, link: Any) -> None:
        """Put them into a detector, all of them or none; see :func:`chainfpn.set_weights`."""
        set_weights(self.weights.arrays, link, within=self.prefixes, file=self.weights.file)


def find_classifier(options: PyramidOptions) -> TrunkClassifier:
    """Return the classifier that a trunk's weights are from; its head and cut-off stages are left out."""
    if options.trunk in RESNETS:
        cut = tuple(f"layer{stage}/" for stage in range(options.stages[-1] + 1, 5))
        return TrunkClassifier(options.trunk, {"": "backbone/body/"}, ("fc/", *cut))
    parent, names = _stage_names(options)
    kind = names[-1].rstrip("0123456789")
    cut = tuple(f"{parent}/{kind}{i}/" for i in range(int(names[-1].removeprefix(kind)) + 1, 10))
    prefix = "features/" if parent == "features" else ""
    return TrunkClassifier(options.trunk, {prefix: "backbone/body/"}, ("fc/", "classifier/", "norm/", "head/", *cut))
