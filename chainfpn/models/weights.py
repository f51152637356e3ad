"""Where a builder's weights come from: a file of either kind, or torchvision's by name."""

import os
from typing import NamedTuple

from chainfpn.data import imagenet_label_names
from chainfpn.serialization import WeightsError, read_weights, set_weights


class Weights(NamedTuple):
    """Arrays by name, what their file says of them, and the name to call them by in errors."""

    arrays: dict
    meta: dict
    file: str

    @property
    def arguments(self):
        """dict: What the file says of its builder's arguments, in today's words."""
        from weights_convert import rename_former_arguments

        return rename_former_arguments(self.meta.get("arguments", {}))

    def load_into(self, link):
        """Put the arrays into a link, all of them or none; see :func:`chainfpn.set_weights`."""
        set_weights(self.arrays, link, file=self.file)
        return link


def find_weights(pretrained_model, *, name, zoo, convert_as=None):
    """Read what a builder's ``pretrained_model`` names.

    Args:
        pretrained_model (str, os.PathLike, Weights or None): None; a word of ``zoo``; the path of an .npz, or of a
            checkpoint that the converter reads (.pth, .safetensors, an .npz of ChainerCV's, ...), which is converted on
            the fly; or weights that have been read already.
        name (str): The builder, which is the name of its weights in the zoo and the converter.
        zoo (sequence of str): The words for torchvision's published weights, such as ``'coco'``.
        convert_as (str or None): What the converter takes a checkpoint for; it finds out for itself if None, and
            renames leaf by leaf, leaving it to the link what must be there, if ``'any'``.

    Returns:
        Weights or None: None if no weights were asked for.

    Raises:
        WeightsError: if the file is not what it should be.
        OSError: if there is no such file, or torchvision's cannot be had.
    """
    if pretrained_model is None or isinstance(pretrained_model, Weights):
        return pretrained_model
    path = os.fspath(pretrained_model)
    if path in zoo:
        from weights_convert.zoo import fetch

        path = os.fspath(fetch(name if path in ("coco", "imagenet") else f"{name}:{path}"))
    if path.endswith(".npz"):
        from weights_convert import needs_conversion

        arrays, meta = read_weights(path)
        if meta or not needs_conversion(arrays):
            return Weights(arrays, meta, os.path.basename(path))
    from weights_convert import convert_arrays

    arrays, meta, _ = convert_arrays(path, model=convert_as)
    return Weights(arrays, meta, os.path.basename(path))


def choose(defaults, weights, explicit):
    """Settle a builder's options: what the caller says goes before what the weights say, then the default.

    Args:
        defaults (dict): Every option and its default.
        weights (Weights or None): Weights whose ``__meta__`` may name options.
        explicit (dict): What the caller passed; None means nothing.

    Returns:
        dict: Every option and its value.

    Raises:
        WeightsError: if the weights want an option to differ from its default that the caller could not pass either:
            they are of another model.
    """
    said = {} if weights is None else weights.arguments
    if weights is not None and weights.meta.get("label_names") is not None:
        said = {**said, "label_names": weights.meta["label_names"]}
    said = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
    for key, value in said.items():
        if key not in explicit and value != defaults.get(key):
            raise WeightsError(f"{weights.file}: its model has {key} {value!r}, which this builder has not")
    options = {**defaults, **{key: value for key, value in said.items() if key in defaults}}
    return {**options, **{key: value for key, value in explicit.items() if value is not None}}


def resolve_label_names(names):
    """Resolve the name of a data set to the names of its labels.

    Args:
        names (str, sequence of str or None): ``'coco'``, ``'imagenet'``, ``'voc'``, or the names themselves.

    Returns:
        tuple of str or None: The names.

    Raises:
        ValueError: if it is another word.
    """
    if names is None or not isinstance(names, str):
        return None if names is None else tuple(names)
    known = {"coco": _coco, "imagenet": imagenet_label_names, "voc": _voc}
    if names not in known:
        raise ValueError(f"label_names must be a sequence of str or one of {sorted(known)}, got {names!r}")
    return tuple(known[names]())


def _coco():
    from chainercv.datasets import coco_bbox_label_names

    return coco_bbox_label_names


def _voc():
    from chainercv.datasets import voc_bbox_label_names

    return voc_bbox_label_names
