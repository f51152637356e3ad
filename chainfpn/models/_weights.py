"""Where a builder's weights come from: a file of either kind, or torchvision's by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from chainfpn.errors import InvalidArgument
from chainfpn.models._record import WORDS
from chainfpn.models.registry import MODELS
from chainfpn.serialization import WeightsError, read_weights, set_weights
from weights_convert import ConversionError, convert_arrays, needs_conversion, rename_former_arguments, zoo


class Weights(NamedTuple):
    """Arrays by name, what their file says of them, and the name to call them by in errors."""

    arrays: Mapping[str, Any]
    meta: Mapping[str, Any]
    file: str

    @property
    def arguments(self) -> dict[str, Any]:
        """What the file says of its builder's arguments, in today's words."""
        return rename_former_arguments(self.meta.get("arguments", {}))

    def load_into(self, link: Any) -> Any:
        """Put the arrays into a link, all of them or none; see :func:`chainfpn.set_weights`."""
        set_weights(self.arrays, link, file=self.file)
        return link


def find_weights(
    pretrained_model: str | os.PathLike[str] | Weights,
    *,
    name: str | None,
    words: Iterable[str] = (),
    any_names: bool = False,
) -> Weights:
    """Read what a builder's ``pretrained_model`` names.

    Args:
        pretrained_model (str, os.PathLike or Weights): A word for published weights, such as ``'coco'``;
            the path of an .npz, or of a checkpoint that the converter reads (.pth, .safetensors, an .npz of
            ChainerCV's, ...), which is converted on the fly; or weights that have been read already.
        name (str or None): The builder, which is the name of its weights in the zoo and the converter.
        words (iterable of str): Words for published weights besides those of the builder's record.
        any_names (bool): Convert a checkpoint that is of no known model parameter by parameter, and leave it to the
            link what must be there.

    Returns:
        Weights: The arrays, and what their file says of them.

    Raises:
        InvalidArgument: if it is neither a file nor a word that the builder has weights by.
        WeightsError: if the file is not what it should be.
        OSError: if there is no such file, or torchvision's weights cannot be had.
    """
    if isinstance(pretrained_model, Weights):
        return pretrained_model
    path = os.fspath(pretrained_model)
    if name is not None:
        words = {*words, *(WORDS[key] for key in MODELS[name].weights if key in WORDS)}
        if path in words:
            path = os.fspath(zoo.fetch(name if path in ("coco", "imagenet") else f"{name}:{path}"))
        elif not os.path.splitext(path)[1] and not os.path.exists(path):
            rule = " or ".join([*map(repr, sorted(words)), "the path of a file"])
            is_trunks = path.startswith("imagenet") and "pretrained_backbone" in MODELS[name].options
            hint = ", which pretrained_backbone takes" if is_trunks else ""
            raise InvalidArgument(name, "weights", rule, path, got=repr(path) + hint)
    if path.endswith(".npz"):
        arrays, meta = read_weights(path)
        if meta or not needs_conversion(arrays):
            return Weights(arrays, meta, os.path.basename(path))
    try:
        arrays, meta, _ = convert_arrays(path)
    except ConversionError:
        if not any_names:
            raise
        arrays, meta, _ = convert_arrays(path, model="any")
    return Weights(arrays, meta, os.path.basename(path))


def load(path: str | os.PathLike[str], *, model: str | None = None) -> Any:
    """Build the model that a weight file is of, with its weights.

    Args:
        path (str or os.PathLike): An .npz from the converter, or a checkpoint (.pth ...) to convert on the fly.
        model (str or None): Name of the builder, for a file that does not say it.

    Returns:
        chainer.Link: The model, on the CPU.

    Raises:
        WeightsError: if the file does not fit, or says no model and none is given, or names one there is not.
        OSError: if it cannot be read.

    Example:
        >>> from chainfpn import models
        >>> detector = models.load("detector.npz")  # doctest: +SKIP
    """
    file, weights = os.path.basename(path), None
    if model is None:
        weights = find_weights(path, name=None)
        model = weights.meta.get("model")
    if model is None:
        such = "model, such as fasterrcnn_resnet_fpn; chainfpn models lists all"
        raise WeightsError(f"{file}: the file does not say which model it is of; name the {such}")
    if model not in MODELS:
        raise WeightsError(f"{file}: model must be one of {', '.join(MODELS)}, got {model!r}")
    return MODELS[model].builder(pretrained_model=weights or path)
