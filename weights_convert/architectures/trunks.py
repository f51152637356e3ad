"""Classifiers that are no ResNets as trunks of detectors: the shapes of their stages, and from shapes to a name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from chainfpn.models.registry import MODELS
from weights_convert._typing import AnyShapes, Shape, Shapes
from weights_convert.architectures.networks import features_of
from weights_convert.architectures.shapes import COUNTER


@dataclass(frozen=True)
class NetworkTrunk:
    """A classifier up to one of its stages; a `weights_convert.architectures.resnet.Trunk` has the same attributes.

    Attributes:
        name (str): Its builder.
        n_stages (int): How many of the four stages there are.
        depth (None): It is no ResNet.
        statistics (bool): Whether the norms of a pyramid on it have running statistics.
    """

    name: str
    n_stages: int
    depth: None = None
    statistics: bool = True

    def channels(self, stage: int) -> int:
        """Return the channels out of ``stage`` (1 to 4)."""
        return [*MODELS[self.name].stages.values()][stage - 1]

    def shapes(self, prefix: str = "") -> Shapes:
        """Return ``{name: shape}`` of every tensor: those of ``features``, or of all but the head."""
        return {f"{prefix}{name}": shape for name, shape in _shapes(self.name, self.n_stages).items()}


@cache
def _shapes(name: str, n_stages: int) -> Mapping[str, Shape]:
    parent, last = [*MODELS[name].stages][n_stages - 1].split(".")
    root, features = ("features." if parent == "features" else ""), features_of(name)
    kept = [key for key in features if key.startswith(root)]
    kept = [key for key in kept if not key.startswith(f"{parent}.") or _number(key.split(".")[1]) <= _number(last)]
    return {key.removeprefix(root): features[key] for key in kept}


def _number(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def find_network_trunk(shapes: AnyShapes, prefix: str) -> NetworkTrunk | None:
    """Return the `NetworkTrunk` that nearly all tensors of this prefix are of, or ``None``."""
    body = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    body = {name: tuple(shape) for name, shape in body.items() if not name.endswith(COUNTER)}
    if not {"0.0.weight", "stem.0.weight"} & body.keys():
        return None
    found = {}
    for trunk in (NetworkTrunk(name, n) for name, model in MODELS.items() if model.stages for n in (1, 2, 3, 4)):
        expected = _shapes(trunk.name, trunk.n_stages)
        if abs(len(expected) - len(body)) <= len(body) // 4:
            wrong = sum(body.get(name) != shape for name, shape in expected.items())
            found[trunk] = wrong + len(body.keys() - expected.keys())
    nearest = min(found, key=found.__getitem__, default=None)
    return nearest if nearest is not None and found[nearest] <= len(body) // 4 else None
