"""torchvision's Faster R-CNN on MobileNetV3: the trunk's shapes, and the detector."""

from weights_convert._typing import AnyShapes, Described, Shapes
from weights_convert.architectures.detectors import box_head, fpn, labels, rpn
from weights_convert.architectures.shapes import conv, conv_norm, size_of

_BODY = "backbone.body."

#: Of each block of MobileNetV3-Large: kernel, widened channels, channels out, squeezed channels (0: none).
_BLOCKS = (
    (3, 16, 16, 0), (3, 64, 24, 0), (3, 72, 24, 0), (5, 72, 40, 24), (5, 120, 40, 32), (5, 120, 40, 32),
    (3, 240, 80, 0), (3, 200, 80, 0), (3, 184, 80, 0), (3, 184, 80, 0), (3, 480, 112, 120), (3, 672, 112, 168),
    (5, 672, 160, 168), (5, 960, 160, 240), (5, 960, 160, 240),
)  # fmt: skip

#: The two detectors have the same tensors; a file is taken for the first unless its hash or --model says more.
BUILDERS = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")


def describe_mobilenet_rcnn(shapes: AnyShapes, builder: str = BUILDERS[0]) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a Faster R-CNN on MobileNetV3-Large, or ``None``."""
    if f"{_BODY}1.block.0.0.weight" not in shapes or "roi_heads.box_predictor.cls_score.weight" not in shapes:
        return None
    n_outputs = size_of(shapes, "roi_heads.box_predictor.cls_score.weight", default=91)
    expected = _trunk() | fpn([160, 960], 256, False) | rpn(256, 15, 1) | box_head(256, 1024, n_outputs, False)
    return builder, labels(n_outputs), expected


def describe_mobilenet_320_rcnn(shapes: AnyShapes) -> Described:
    """Return the same for the detector that sees images of 320 pixels, which has the same tensors."""
    return describe_mobilenet_rcnn(shapes, BUILDERS[1])


def _trunk() -> Shapes:
    shapes, n_in = conv_norm(f"{_BODY}0", 3, 16, 3), 16
    for i, (size, width, n_out, squeezed) in enumerate(_BLOCKS, 1):
        at = f"{_BODY}{i}.block."
        first = 0 if width == n_in else 1  # a block that does not widen begins with its depthwise convolution
        last = first + (2 if squeezed else 1)
        if first:
            shapes |= conv_norm(f"{at}0", n_in, width, 1)
        shapes |= conv_norm(f"{at}{first}", 1, width, size)
        if squeezed:
            shapes |= conv(f"{at}{first + 1}.fc1", width, squeezed, 1, True)
            shapes |= conv(f"{at}{first + 1}.fc2", squeezed, width, 1, True)
        shapes |= conv_norm(f"{at}{last}", width, n_out, 1)
        n_in = n_out
    return shapes | conv_norm(f"{_BODY}16", n_in, 960, 1)
