"""torchvision's classifiers that are no ResNets, recognized by a checksum of all their names and shapes."""

import zlib

from weights_convert._typing import AnyShapes, Described

#: Builder -> (crc32 of the names and shapes of everything but the last layer, the last layer).
FINGERPRINTS = {
    "alexnet": (0xCA4EEE4D, "classifier.6"),
    "densenet121": (0x4FF44D47, "classifier"),
    "densenet161": (0x7A6ABE26, "classifier"),
    "densenet169": (0x83F3F0AE, "classifier"),
    "densenet201": (0xAF706771, "classifier"),
    "googlenet": (0xBDC8D397, "fc"),
    "inception_v3": (0xBAC1C987, "fc"),
    "mobilenet_v2": (0x74602498, "classifier.1"),
    "mobilenet_v3_large": (0x8A3FC797, "classifier.3"),
    "mobilenet_v3_small": (0x08644D7D, "classifier.3"),
    "squeezenet1_0": (0x4A193C8D, "classifier.1"),
    "squeezenet1_1": (0x4F9CCB21, "classifier.1"),
    "vgg11": (0x522D6443, "classifier.6"),
    "vgg11_bn": (0x59D59556, "classifier.6"),
    "vgg13": (0x08FC394E, "classifier.6"),
    "vgg13_bn": (0x3A536A7F, "classifier.6"),
    "vgg16": (0xB3DF0278, "classifier.6"),
    "vgg16_bn": (0xC70FBEBB, "classifier.6"),
    "vgg19": (0xEBAE549A, "classifier.6"),
    "vgg19_bn": (0x403AC865, "classifier.6"),
}

#: Auxiliary classifiers, which a file may have or not.
_AUXILIARY = ("aux", "AuxLogits")


def fingerprint(shapes: AnyShapes, last: str) -> int:
    """Return the checksum of everything but the last layer, auxiliary classifiers and counters."""
    left_out = (*_AUXILIARY, f"{last}.")
    names = sorted(n for n in shapes if not n.startswith(left_out) and not n.endswith("num_batches_tracked"))
    return zlib.crc32("\n".join(f"{name} {tuple(shapes[name])}" for name in names).encode())


def describe_by_fingerprint(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a classifier in `FINGERPRINTS`, or ``None``."""
    for builder, (checksum, last) in FINGERPRINTS.items():
        weight = shapes.get(f"{last}.weight")
        if weight and fingerprint(shapes, last) == checksum:
            expected = {n: tuple(shape) for n, shape in shapes.items() if not n.endswith("num_batches_tracked")}
            return builder, {"n_class": weight[0]}, expected | {f"{last}.bias": weight[:1]}
    return None
