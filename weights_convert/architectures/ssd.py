"""torchvision's SSD300 on VGG-16."""

from weights_convert._typing import AnyShapes, Described, Shapes
from weights_convert.architectures.detectors import labels
from weights_convert.architectures.shapes import conv

#: Where VGG-16 has its convolutions in torch's numbering, and their channels out.
_VGG16 = dict(
    zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (64,) * 2 + (128,) * 2 + (256,) * 3 + (512,) * 6, strict=True)
)
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
    n_in = 3
    for i, n_out in _VGG16.items():
        name = f"backbone.features.{i}" if i < _POOL4 else f"backbone.extra.0.{i - _POOL4}"
        shapes |= conv(name, n_in, n_out, 3, True)
        n_in = n_out
    shapes |= conv("backbone.extra.0.7.1", 512, 1024, 3, True) | conv("backbone.extra.0.7.3", 1024, 1024, 1, True)
    for i, (n_in, width, n_out) in enumerate(_EXTRA, 1):
        shapes |= conv(f"backbone.extra.{i}.0", n_in, width, 1, True)
        shapes |= conv(f"backbone.extra.{i}.2", width, n_out, 3, True)
    return shapes
