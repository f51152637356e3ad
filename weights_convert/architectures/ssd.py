"""torchvision's SSD300 on VGG-16, and SSDLite320 on MobileNetV3."""

from chainfpn.models.vgg import ARCHITECTURES as VGGS
from weights_convert._typing import AnyShapes, Described, Shapes
from weights_convert.architectures.detectors import labels
from weights_convert.architectures.mobilenet import LARGE, mobilenet_v3
from weights_convert.architectures.sequential import vgg
from weights_convert.architectures.shapes import conv, conv_norm, size_of

#: The number at which the second part of it begins.
_POOL4 = 23

#: Channels in, between and out of the coarser levels.
_EXTRA = ((1024, 256, 512), (512, 128, 256), (256, 128, 256), (256, 128, 256))

#: Channels of the maps, and default boxes per position.
_MAPS = ((512, 4), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4))


def describe_ssd(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of SSD300, or ``None``."""
    head = "head.{}_head.module_list.{}"
    first = shapes.get(head.format("classification", 0) + ".weight")
    if not first:
        return None
    n_outputs = first[0] // _MAPS[0][1]
    expected: Shapes = {"backbone.scale_weight": (512,)} | _trunk()
    for i, (channels, n_boxes) in enumerate(_MAPS):
        expected |= conv(head.format("classification", i), channels, n_boxes * n_outputs, 3, True)
        expected |= conv(head.format("regression", i), channels, n_boxes * 4, 3, True)
    return "ssd300_vgg16", labels(n_outputs), expected


def _trunk() -> Shapes:
    shapes: Shapes = {}
    for name, shape in vgg(VGGS["vgg16"]).items():
        _, number, param = name.split(".")
        at = f"features.{number}" if int(number) < _POOL4 else f"extra.0.{int(number) - _POOL4}"
        shapes[f"backbone.{at}.{param}"] = shape
    shapes |= conv("backbone.extra.0.7.1", 512, 1024, 3, True) | conv("backbone.extra.0.7.3", 1024, 1024, 1, True)
    for i, (n_in, width, n_out) in enumerate(_EXTRA, 1):
        shapes |= conv(f"backbone.extra.{i}.0", n_in, width, 1, True)
        shapes |= conv(f"backbone.extra.{i}.2", width, n_out, 3, True)
    return shapes


#: Of SSDLite's coarser levels: channels between and out.
_LITE_EXTRA = ((256, 512), (128, 256), (128, 256), (64, 128))


def describe_ssdlite(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of SSDLite320, or ``None``."""
    last = "head.classification_head.module_list.5.1.weight"
    if last not in shapes:
        return None
    reduced = size_of(shapes, "backbone.features.1.3.0.weight", default=480) != 960
    n_outputs = size_of(shapes, last) // 6
    expected, channels = _lite_trunk(reduced), [672, 480 if reduced else 960, *(n_out for _, n_out in _LITE_EXTRA)]
    for i, (width, n_out) in enumerate(_LITE_EXTRA):
        at = f"backbone.extra.{i}."
        expected |= conv_norm(f"{at}0", channels[i + 1], width, 1) | conv_norm(f"{at}1", 1, width, 3)
        expected |= conv_norm(f"{at}2", width, n_out, 1)
    for kind, n in (("classification", n_outputs), ("regression", 4)):
        for i, n_in in enumerate(channels):
            at = f"head.{kind}_head.module_list.{i}."
            expected |= conv_norm(f"{at}0", 1, n_in, 3) | conv(f"{at}1", n_in, 6 * n, 1, True)
    return "ssdlite320_mobilenet_v3_large", labels(n_outputs) | ({} if reduced else {"reduced_tail": False}), expected


def _lite_trunk(reduced: bool) -> Shapes:
    """Return the shapes of MobileNetV3-Large, cut in two behind the first convolution of its thirteenth block."""
    by = 2 if reduced else 1
    tail = ((5, 672, 160 // by, True), *((5, 960 // by, 160 // by, True),) * 2)
    shapes: Shapes = {}
    for name, shape in mobilenet_v3((*LARGE[:-3], *tail)).items():
        _, number, rest = name.split(".", 2)
        part, place = (0, int(number)) if int(number) < 13 else (1, int(number) - 13)
        if number == "13":
            part, rest = (0, rest[8:]) if rest.startswith("block.0.") else (1, rest[6:])
            place = 0 if part else 13
        shapes[f"backbone.features.{part}.{place}.{rest}"] = shape
    return shapes
