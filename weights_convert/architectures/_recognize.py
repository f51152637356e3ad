"""Compare what a checkpoint has with what each known model must have."""

from dataclasses import dataclass

from weights_convert._typing import AnyShapes, Json, Shape, Shapes
from weights_convert.architectures import cascade, classifiers, detectors, mobilenet, networks, ssd

_FAMILIES = (
    detectors.describe_rcnn,
    cascade.describe_cascade,
    mobilenet.describe_mobilenet_rcnn,
    mobilenet.describe_mobilenet_320_rcnn,
    detectors.describe_one_stage,
    detectors.describe_backbone,
    ssd.describe_ssd,
    ssd.describe_ssdlite,
    classifiers.describe_kuangliu_fpn,
    classifiers.describe_kuangliu_retinanet,
    classifiers.describe_resnet,
    networks.describe_network,
)

#: What may be there or not: counters that Chainer keeps by itself.
OPTIONAL = ".num_batches_tracked"


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
        optional = {name for name in shapes if name.endswith(OPTIONAL) and _norm_of(name) in self.shapes}
        missing = [name for name in self.shapes if name not in shapes]
        unexpected = [name for name in shapes if name not in self.shapes and name not in optional]
        misshapen = {n: (tuple(shapes[n]), s) for n, s in self.shapes.items() if n in shapes and tuple(shapes[n]) != s}
        return missing, unexpected, misshapen

    def distance(self, shapes: AnyShapes) -> int:
        """Return how many names or shapes differ."""
        return sum(map(len, self.compare(shapes)))


def _norm_of(name: str) -> str:
    return name.removesuffix(OPTIONAL) + ".running_mean"


def candidates(shapes: AnyShapes) -> list[Candidate]:
    """Return every `Candidate` whose signature these shapes have, the nearest first."""
    found = [Candidate(*described) for family in _FAMILIES if (described := family(shapes)) is not None]
    return sorted(found, key=lambda candidate: candidate.distance(shapes))


def recognize(shapes: AnyShapes, model: str | None = None) -> Candidate | None:
    """Return the nearest `Candidate`, or ``None``.

    Args:
        shapes (dict): ``{torch name: shape}``, in torchvision's older names.
        model (str or None): Only candidates of this builder.
    """
    return next((c for c in candidates(shapes) if model in (None, c.builder)), None)
