"""torchvision's classifiers that are no ResNets, recognized by a checksum of all their names and shapes."""

import zlib

from weights_convert._typing import AnyShapes, Described
from weights_convert.known_models import fingerprints

#: Auxiliary classifiers, which a file may have or not.
_AUXILIARY = ("aux", "AuxLogits")


def fingerprint(shapes: AnyShapes, last: str) -> int:
    """Return the checksum of everything but the last layer, auxiliary classifiers and counters."""
    left_out = (*_AUXILIARY, f"{last}.")
    names = sorted(n for n in shapes if not n.startswith(left_out) and not n.endswith("num_batches_tracked"))
    return zlib.crc32("\n".join(f"{name} {tuple(shapes[name])}" for name in names).encode())


def describe_by_fingerprint(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a classifier with a checksum, or ``None``."""
    for builder, (checksum, last) in fingerprints().items():
        weight = shapes.get(f"{last}.weight")
        if weight and fingerprint(shapes, last) == checksum:
            expected = {n: tuple(shape) for n, shape in shapes.items() if not n.endswith("num_batches_tracked")}
            return builder, {"n_class": weight[0]}, expected | {f"{last}.bias": weight[:1]}
    return None
