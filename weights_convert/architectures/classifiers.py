"""ResNet classifiers, and kuangliu's pyramid and RetinaNet, which have names of their own."""

from functools import partial

from weights_convert._typing import AnyShapes, Described, Json
from weights_convert.architectures.networks import head_classes
from weights_convert.architectures.resnet import Trunk, find_trunk
from weights_convert.architectures.shapes import conv, linear, size_of

#: Blocks of each stage -> builder. kuangliu's FPN101 really has two blocks in each stage.
_KUANGLIU: dict[tuple[int, ...], str] = {(3, 4, 6, 3): "fpn50", (2, 2, 2, 2): "fpn101"}


def describe_resnet(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of a ResNet classifier, or of its trunk, or ``None``."""
    trunk = find_trunk(shapes)
    if trunk is None or trunk.name is None:
        return None
    head = partial(linear, "fc", trunk.channels(4))
    n_class = head_classes(shapes, head) if trunk.n_stages == 4 else 0
    arguments: Json = {"n_class": n_class}
    arguments |= {} if trunk.n_stages == 4 else {"n_stages": trunk.n_stages}
    arguments |= {} if trunk.statistics else {"norm": "group"}
    return trunk.name, arguments, trunk.shapes() | (head(n_class) if n_class else {})


def describe_kuangliu_fpn(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of kuangliu/pytorch-fpn, or ``None``."""
    trunk = find_trunk(shapes)
    if "toplayer.weight" not in shapes or trunk is None or trunk.blocks not in _KUANGLIU or trunk.kind != "bottleneck":
        return None
    expected = trunk.shapes() | conv("toplayer", trunk.channels(4), 256, 1, True)
    for i in (1, 2, 3):
        expected |= conv(f"latlayer{i}", trunk.channels(4 - i), 256, 1, True) | conv(f"smooth{i}", 256, 256, 3, True)
    return _KUANGLIU[trunk.blocks], {}, expected


def describe_kuangliu_retinanet(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of kuangliu/pytorch-retinanet, or ``None``."""
    trunk = find_trunk(shapes, "fpn.")
    if "loc_head.0.weight" not in shapes or trunk is None or trunk.n_stages != 4 or trunk.kind != "bottleneck":
        return None
    n_fg_class = size_of(shapes, "cls_head.8.weight", default=180) // 9
    expected = Trunk("bottleneck", (3, 4, 6, 3)).shapes("fpn.")
    expected |= conv("fpn.conv6", 2048, 256, 3, True) | conv("fpn.conv7", 256, 256, 3, True)
    for i in (1, 2, 3):
        expected |= conv(f"fpn.latlayer{i}", trunk.channels(5 - i), 256, 1, True)
    for i in (1, 2):
        expected |= conv(f"fpn.toplayer{i}", 256, 256, 3, True)
    for head, n_out in (("loc_head", 36), ("cls_head", 9 * n_fg_class)):
        for i in (0, 2, 4, 6):
            expected |= conv(f"{head}.{i}", 256, 256, 3, True)
        expected |= conv(f"{head}.8", 256, n_out, 3, True)
    return "retinanet_kuangliu", {"n_fg_class": n_fg_class}, expected
