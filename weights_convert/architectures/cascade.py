"""Cascades on a ResNet pyramid: heads of a Faster or Mask R-CNN, several times."""

from itertools import count, takewhile

from weights_convert._typing import AnyShapes, Described
from weights_convert.architectures.detectors import describe_rcnn

_FIRST, _HEADS = "roi_heads.0.", "roi_heads."


def describe_cascade(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a Cascade R-CNN or Cascade Mask R-CNN, or ``None``."""

    def stages_with(name: str) -> int:
        return sum(1 for _ in takewhile(lambda i: f"{_HEADS}{i}.{name}" in shapes, count()))

    n_stages, n_mask_heads = map(stages_with, ("box_predictor.cls_score.weight", "mask_predictor.conv5_mask.bias"))
    first = {name.replace(_FIRST, _HEADS): shape for name, shape in shapes.items()}
    described = describe_rcnn(first) if n_stages else None
    if described is None:
        return None
    _, arguments, one = described
    expected = {name: shape for name, shape in one.items() if not name.startswith(_HEADS)}
    for name in one.keys() - expected.keys():
        shape = (4, *one[name][1:]) if ".bbox_pred." in name else one[name]
        for i in range(n_mask_heads if ".mask_" in name else n_stages):
            expected[name.replace(_HEADS, f"{_HEADS}{i}.")] = shape
    if n_mask_heads > 1:
        arguments["n_mask_heads"] = n_mask_heads
    return f"cascade_{'mask_' if n_mask_heads else ''}rcnn_resnet_fpn", arguments, expected
