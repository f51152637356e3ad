"""Weights of a classifier for the trunk of a detector."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from chainfpn._imagenet import IMAGENET_MEAN, IMAGENET_STD
from chainfpn.models._options import DetectorOptions, PyramidOptions
from chainfpn.models._types import Pretrained
from chainfpn.models._weights import Weights, find_weights
from chainfpn.models.registry import MODELS
from chainfpn.serialization import WeightsError, set_weights

#: Options of a detector that its trunk's weights may ask for.
_OPTIONS = ("norm_eps", "stride_in_1x1", "norm")

#: torchvision's input, which a trunk's weights are for, in pixels of 0..255: for rules whose own input is Caffe's.
_INPUT = {
    "channel_order": "RGB",
    "image_mean": tuple(round(255 * value, 3) for value in IMAGENET_MEAN),
    "image_std": tuple(round(255 * value, 3) for value in IMAGENET_STD),
}


class TrunkClassifier(NamedTuple):
    """The classifier that a detector's trunk is the larger part of.

    Attributes:
        builder (str): Its builder.
        places (mapping): Beginnings of its names to those of the detector's names, which it must fill completely.
        left_out (tuple of str): Beginnings of the names that the trunk has no use for.
        words (mapping): The words for torchvision's published weights to those the zoo has for them.
    """

    builder: str
    places: Mapping[str, str]
    left_out: tuple[str, ...]
    words: Mapping[str, str] = MappingProxyType({"imagenet": "imagenet", "imagenet_v2": "imagenet_v2"})

    def find(self, pretrained_backbone: Pretrained) -> TrunkWeights:
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
        if not (pretrained_backbone is None or isinstance(pretrained_backbone, Weights)):
            pretrained_backbone = self.words.get(os.fspath(pretrained_backbone), pretrained_backbone)
        weights = find_weights(pretrained_backbone, name=self.builder, words=self.words.values(), any_names=True)
        weights = weights or Weights({}, {}, "")
        model = str(weights.meta.get("model"))
        if model in MODELS and MODELS[model].task == "detection":
            raise WeightsError(f"{weights.file}: is of a whole detector, {model}, which pretrained_model takes")
        places, left_out = self.places, self.left_out
        if any(name.startswith("body/") for name in weights.arrays):  # with its pyramid
            places, left_out = {"": self.places.get("", "").removesuffix("body/")}, ()
        arrays = {
            _place(name, places): array
            for name, array in weights.arrays.items()
            if not name.startswith(left_out or "\0")
        }
        return TrunkWeights(weights._replace(arrays=arrays), tuple(places.values()))


def _place(name: str, places: Mapping[str, str]) -> str:
    """Return the detector's name for one of the classifier's."""
    start = next((start for start in places if name.startswith(start)), None)
    return name if start is None else places[start] + name[len(start) :]


class TrunkWeights(NamedTuple):
    """Weights under a detector's names, and the beginnings of the names they must fill completely."""

    weights: Weights
    places: tuple[str, ...]

    def settle(self, options: DetectorOptions, explicit: Collection[str]) -> DetectorOptions:
        """Return the detector's options with those that the weights ask for.

        Args:
            options (DetectorOptions): The detector's.
            explicit (collection of str): Names of those that the caller has passed, which stay.
        """
        asked = {key: value for key, value in self.weights.arguments.items() if key in _OPTIONS}
        settings: dict[str, Any] = {}
        if isinstance(options, PyramidOptions) and options.rule_set.stride_in_1x1:
            asked = {"stride_in_1x1": False, **asked}
            settings = {} if _INPUT.keys() & explicit else _INPUT
        missing = {entry.name for entry in fields(options)} - set(explicit)
        asked = {key: value for key, value in asked.items() if key in missing}
        return replace(options, **asked, settings={**settings, **options.settings})

    def load_into(self, link: Any) -> None:
        """Put them into a detector, all of them or none.

        Args:
            link (chainfpn.links.Detector): The detector.

        Raises:
            WeightsError: naming all keys that are missing, unexpected or misshapen.
        """
        set_weights(self.weights.arrays, link, within=self.places, file=self.weights.file)
