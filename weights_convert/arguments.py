"""A builder's arguments beside the shapes of the weights: they must agree, before anything is written."""

from collections.abc import Mapping
from typing import Any

from weights_convert._typing import Json, Shape, Shapes
from weights_convert.errors import CheckpointError
from weights_convert.known_models import build, builder_arguments, check_values, defaults, is_detector
from weights_convert.layouts import FOREIGN_RULES

#: Arguments that follow from shapes alone.
_OF_SHAPES = (
    "depth", "stages", "fpn_channels", "head_channels", "n_keypoint", "n_class", "mask_layers",
    "mask_dim_reduced", "keypoint_layers", "reduced_tail", "fpn_norm",
)  # fmt: skip


def has_no_background(model: str | None) -> bool:
    """Return whether a model is a detector of one stage in which torchvision has no background."""
    return model is not None and model.startswith(("retinanet_resnet", "fcos"))


def count_class_ids(shapes: Shapes) -> int | None:
    """Return how many class ids a detector's weights have, background included."""
    for stage in ("", "0."):  # of a cascade, all have as many
        if (name := f"roi_heads.{stage}box_predictor.cls_score.weight") in shapes:
            return shapes[name][0]
    logits = shapes.get("head.classification_head.cls_logits.weight")
    return None if logits is None else logits[0] // (_n_anchors(shapes) or 1)


def p6_from_trunk(shapes: Shapes) -> Json:
    """Return whether the level P6 comes from the trunk, as an argument; nothing where both maps are of one width."""
    laterals = [
        shapes[name] for name in shapes if name.startswith("backbone.fpn.inner_blocks.") and len(shapes[name]) == 4
    ]
    p6 = shapes.get("backbone.fpn.extra_blocks.p6.weight")
    width, last = laterals[0][0], max(lateral[1] for lateral in laterals)
    return {} if p6 is None or width == last else {"p6_from_trunk": p6[1] == last}


def _n_anchors(shapes: Shapes) -> int | None:
    if "rpn.head.cls_logits.weight" in shapes:
        return shapes["rpn.head.cls_logits.weight"][0]
    if "head.regression_head.bbox_reg.weight" in shapes and not any("ctrness" in name for name in shapes):
        return shapes["head.regression_head.bbox_reg.weight"][0] // 4
    return None


def labels_from(n_class_ids: int, wanted: Any) -> tuple[int, str]:
    """Return where the labels of a detector without a background begin, and why that is taken.

    Args:
        n_class_ids (int): Class ids that the weights have.
        wanted (int or None): What the user says.

    Raises:
        CheckpointError: if the user says another number than 0 or 1.
    """
    if wanted is not None and (wanted not in (0, 1) or isinstance(wanted, bool)):
        raise CheckpointError(f"--meta labels_from must be 0 or 1, got {wanted!r}")
    if wanted is not None:
        return wanted, "as asked for"
    if n_class_ids == 1:
        return 0, "the weights have one class id"
    return 1, "taken for torchvision's, whose class id 0 is of no class; --meta labels_from=0 if 0 is a label"


def check_arguments(model: str, arguments: Json, recognized: Json, shapes: Shapes) -> None:
    """Compare arguments with shapes.

    Args:
        model (str): The builder.
        arguments (dict): Its arguments, as they will be written.
        recognized (dict): Those that the shapes told.
        shapes (dict): Those of all tensors that the model must have, as the weights have them.

    Raises:
        CheckpointError: naming the first argument that the weights contradict.
    """
    default = defaults(model)
    for key in _OF_SHAPES:
        found = recognized.get(key, getattr(default, key, None))
        if key in arguments and found is not None and _plain(arguments[key]) != _plain(found):
            raise CheckpointError(f"--meta {key} must be what the weights say, {_plain(found)}, got {arguments[key]!r}")
    if (arguments.get("norm") == "group") != (recognized.get("norm") == "group"):
        raise CheckpointError(f"--meta norm must go with the statistics in the weights, got {arguments.get('norm')!r}")
    _check_labels(model, arguments, count_class_ids(shapes))
    check_values(model, arguments)
    _check_anchors(model, arguments, _n_anchors(shapes))


def _plain(value: Any) -> Any:
    """Return what compares equal for equal meaning: a sequence, or a depth by number or name."""
    if isinstance(value, str) and value.removeprefix("resnet").isdecimal():
        return int(value.removeprefix("resnet"))
    return list(value) if isinstance(value, (list, tuple)) else value


def _check_labels(model: str, arguments: Json, n_class_ids: int | None) -> None:
    n, ids = arguments.get("n_fg_class"), arguments.get("class_ids")
    if n_class_ids is None or n is None:
        return
    if type(n) is not int or n < 1:
        way = "--meta labels_from=0, if 0 is a label" if n_class_ids == 1 else "--meta n_fg_class and class_ids"
        raise CheckpointError(
            f"n_fg_class must be a whole number >= 1, got {n!r}; the weights have {n_class_ids} class ids; {way}"
        )
    if ids is not None and not (isinstance(ids, (list, tuple)) and len(ids) == n and all(type(i) is int for i in ids)):
        raise CheckpointError(f"class_ids must be n_fg_class = {n} whole numbers, got {ids!r:.60}")
    is_from_zero = has_no_background(model) and arguments.get("rules") in FOREIGN_RULES
    if (n + (not is_from_zero) if ids is None else 1 + max(ids)) != n_class_ids:
        shown = f"n_fg_class = {n}" if ids is None else f"class_ids up to {max(ids)}"
        raise CheckpointError(f"{shown} does not go with the weights, which have {n_class_ids} class ids")


def _check_anchors(model: str, arguments: Json, n_anchors: int | None) -> None:
    if n_anchors is None:
        return
    sizes, ratios = arguments.get("anchor_sizes"), arguments.get("aspect_ratios", (0.5, 1.0, 2.0))
    usual = 3 if model.startswith("retinanet") else 5 if "mobilenet" in model else 1
    counts = {len(level) for level in sizes or [[0] * usual]}
    if {count * len(ratios) for count in counts} != {n_anchors}:
        found = " or ".join(str(count * len(ratios)) for count in sorted(counts))
        way = "--meta anchor_sizes (a list per level) and aspect_ratios must say which"
        raise CheckpointError(f"the weights have {n_anchors} anchors a place, not {found}; {way}")


def assumptions(model: str | None, meta: Json) -> list[str]:
    """Return what a detector will do that neither its weights nor its ``__meta__`` say."""
    if model is None or not is_detector(model):
        return []
    known, default = builder_arguments(model) - meta["arguments"].keys(), defaults(model)
    found = [f"{key} {getattr(default, key)}" for key in ("min_size", "max_size") if key in known]
    return found + ([] if meta.get("label_names") else ["no label names"])


def check_by_building(model: str, arguments: Json, shapes: Mapping[str, Shape]) -> None:
    """Build the model, where Chainer is installed: its builder's own rules must hold, and all shapes be the same.

    Args:
        model (str): The builder.
        arguments (dict): Its arguments.
        shapes (dict): ``{npz name: shape}`` of the weights.

    Raises:
        CheckpointError: naming the first argument or shape that is wrong.
    """
    built = build(model, arguments)
    if built is None:
        return
    counters = {name for name in shapes.keys() | built.keys() if name.rpartition("/")[2] == "N"}
    for name in sorted((shapes.keys() | built.keys()) - counters):
        found, wanted = shapes.get(name), built.get(name)
        if found != wanted:
            raise CheckpointError(f"{name} has shape {found} in the file, {wanted} in the model of these --meta")
