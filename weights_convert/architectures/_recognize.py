"""Compare what a checkpoint has with what each known model must have."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from weights_convert._typing import AnyShapes, Described, Json, Shape, Shapes
from weights_convert.architectures import cascade, classifiers, detectors, networks, ssd
from weights_convert.architectures.shapes import COUNTER

_FAMILIES: tuple[Callable[[AnyShapes], Described], ...] = (
    detectors.describe_rcnn,
    cascade.describe_cascade,
    *(partial(detectors.describe_mobilenet_rcnn, builder) for builder in detectors.MOBILENET_BUILDERS),
    detectors.describe_one_stage,
    detectors.describe_backbone,
    ssd.describe_ssd,
    ssd.describe_ssdlite,
    classifiers.describe_kuangliu_fpn,
    classifiers.describe_kuangliu_retinanet,
    classifiers.describe_resnet,
    networks.describe_network,
)


@dataclass(frozen=True)
class Candidate:
    """A model that a checkpoint could be.

    Attributes:
        builder (str): Its name in `chainfpn.models`.
        arguments (dict): The builder's keyword arguments, as the shapes tell them.
        shapes (dict): ``{torch name: shape}`` of every tensor it must have.
    """

    builder: str
    arguments: Json
    shapes: Shapes

    def compare(self, shapes: AnyShapes) -> tuple[list[str], list[str], dict[str, tuple[Shape, Shape]]]:
        """Return ``(missing, unexpected, misshapen)``: names, names, and ``{name: (in file, in model)}``."""
        norms = (name.removesuffix(".running_mean") for name in self.shapes if name.endswith(".running_mean"))
        optional = {norm + COUNTER for norm in norms}
        missing = [name for name in self.shapes if name not in shapes]
        unexpected = [name for name in shapes if name not in self.shapes and name not in optional]
        misshapen = {n: (tuple(shapes[n]), s) for n, s in self.shapes.items() if n in shapes and tuple(shapes[n]) != s}
        return missing, unexpected, misshapen

    def distance(self, shapes: AnyShapes) -> int:
        """Return how many names or shapes differ."""
        return sum(map(len, self.compare(shapes)))


def candidates(shapes: AnyShapes) -> list[Candidate]:
    """Return every `Candidate` whose signature these shapes have, the nearest first."""
    found = [Candidate(*described) for family in _FAMILIES if (described := family(shapes)) is not None]
    return sorted(found, key=lambda candidate: candidate.distance(shapes))
