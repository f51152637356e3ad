"""Models that are no ResNets, recognized by a checksum of all their names and shapes but those of the classes."""

import re
import zlib

from weights_convert._typing import AnyShapes, Described, Shapes
from weights_convert.architectures.detectors import labels
from weights_convert.architectures.shapes import size_of
from weights_convert.known_models import fingerprints, is_detector

#: Where a detector has the layers of its boxes, whose like those of its class logits are.
_BOXES = "head.regression_head.module_list."

#: Auxiliary classifiers, which a file may have or not.
_AUXILIARY = ("aux", "AuxLogits")


def fingerprint(shapes: AnyShapes, last: str) -> int:
    """Return the checksum of everything but what counts classes, auxiliary classifiers and counters."""
    left_out = (*_AUXILIARY, f"{last}.")
    names = sorted(n for n in shapes if not n.startswith(left_out) and not n.endswith("num_batches_tracked"))
    return zlib.crc32("\n".join(f"{name} {tuple(shapes[name])}" for name in names).encode())


def describe_by_fingerprint(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a model with a checksum, or ``None``."""
    expected = {n: tuple(shape) for n, shape in shapes.items() if not n.endswith("num_batches_tracked")}
    for builder, (checksum, last) in fingerprints().items():
        weight = shapes.get(f"{last}.weight")
        if weight and fingerprint(shapes, last) == checksum:
            return builder, {"n_class": weight[0]}, expected | {f"{last}.bias": weight[:1]}
        if (
            is_detector(builder)
            and any(n.startswith(f"{last}.") for n in shapes)
            and fingerprint(shapes, last) == checksum
        ):
            return _describe_detector(builder, last, expected)
    return None


def _describe_detector(builder: str, head: str, shapes: Shapes) -> Described:
    """Return the same of a detector: its class logits stand in layers like those of its boxes, which have four each."""
    boxes = {name: shape for name, shape in shapes.items() if name.startswith(_BOXES)}
    first = size_of(shapes, f"{head}.module_list.0.1.weight")
    n_class_ids = 4 * first // size_of(boxes, f"{_BOXES}0.1.weight", default=4)
    logits = {}
    for name, shape in boxes.items():
        is_last = re.fullmatch(r"\d+\.1\.(weight|bias)", name.removeprefix(_BOXES)) is not None
        n_out = shape[0] // 4 * n_class_ids if is_last else shape[0]
        logits[name.replace(_BOXES, f"{head}.module_list.")] = (n_out, *shape[1:])
    others = {name: shape for name, shape in shapes.items() if not name.startswith(f"{head}.")}
    return builder, labels(n_class_ids), others | logits
