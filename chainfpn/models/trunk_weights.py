"""Weights of a classifier for the trunk of a detector."""

import os
from types import MappingProxyType
from typing import Any, NamedTuple

from chainfpn.models.weights import Weights, find_weights
from chainfpn.serialization import set_weights

#: Options of a detector that its trunk's weights may ask for.
_OPTIONS = ("norm_eps", "stride_in_1x1")


class TrunkClassifier(NamedTuple):
    """The classifier that a detector's trunk is the larger part of.

    Attributes:
        builder (str): Its builder.
        places (mapping): Beginnings of its names to those of the detector's names, which it must fill completely.
        left_out (tuple of str): Beginnings of the names that the trunk has no use for.
        words (mapping): The words for torchvision's published weights to those the zoo has for them.
    """

    builder: str
    places: Any
    left_out: tuple
    words: Any = MappingProxyType({"imagenet": "imagenet", "imagenet_v2": "imagenet_v2"})

    def find(self, pretrained_backbone):
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
            word = os.fspath(pretrained_backbone)
            pretrained_backbone = self.words.get(word, word)
        zoo = tuple(self.words.values())
        weights = find_weights(pretrained_backbone, name=self.builder, zoo=zoo, convert_as="any")
        arrays = {
            self._place(name): array for name, array in weights.arrays.items() if not name.startswith(self.left_out)
        }
        return TrunkWeights(weights._replace(arrays=arrays), tuple(self.places.values()))

    def _place(self, name):
        """Return the detector's name for one of the classifier's."""
        for theirs, ours in self.places.items():
            if name.startswith(theirs):
                return ours + name[len(theirs) :]
        return name


class TrunkWeights(NamedTuple):
    """Weights under a detector's names, and the beginnings of the names they must fill completely."""

    weights: Weights
    places: tuple

    def options(self, defaults):
        """Return the options that the weights ask for, of those that the detector has."""
        said = self.weights.meta.get("arguments", {})
        return {key: said[key] for key in _OPTIONS if key in said and key in defaults}

    def load_into(self, link):
        """Put them into a detector, all of them or none.

        Args:
            link (chainfpn.links.Detector): The detector.

        Raises:
            WeightsError: naming all keys that are missing, unexpected or misshapen.
        """
        set_weights(self.weights.arrays, link, within=self.places, file=self.weights.file)
