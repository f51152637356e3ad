"""What `chainfpn.models` knows of its models, of which the converter keeps no table of its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainfpn.errors import InvalidArgument
from chainfpn.models import registry
from chainfpn.models.registry import COCO_CLASS_IDS, MODELS, WORDS
from weights_convert.errors import CheckpointError

#: What builders take that is not an argument of a file: which weights to take, and what has an entry of its own.
_NOT_ARGUMENTS = {"pretrained_model", "pretrained_backbone", "label_names"}

#: What a classifier is built with, but its weights are none the wiser for.
_OF_CLASSIFIERS = {
    "dropout", "drop_rate", "stochastic_depth_prob", "width_mult", "norm", "replace_stride_with_dilation",
    "zero_init_residual", "n_stages",
}  # fmt: skip

#: Where classifiers have auxiliary heads.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def builder_arguments(name: str) -> frozenset[str]:
    """Return the keywords of a builder that ``--meta`` may set, those by torchvision's names among them."""
    found = MODELS[name].options - _NOT_ARGUMENTS
    if "n_class" in found:
        found -= _OF_CLASSIFIERS
    return found - ({"stride_in_1x1"} if "mobilenet" in name else set())  # it has no such convolution


def head_roots(name: str) -> tuple[str, ...]:
    """Return how names of the heads of a classifier begin, torch's; of another model there are none."""
    head = MODELS[name].head
    return () if head is None else (head.partition(".")[0] + ".", *_AUXILIARY)


def is_detector(name: str) -> bool:
    """Return whether a model is a detector."""
    return name in MODELS and MODELS[name].task == "detection"


def count_labels(name: str, arguments: Mapping[str, Any]) -> int | None:
    """Return how many labels a model of these arguments has, or ``None`` if it is one without labels."""
    if is_detector(name):
        return arguments.get("n_fg_class") or defaults(name).n_fg_class or len(COCO_CLASS_IDS)
    return arguments.get("n_class", 1000) if "n_class" in MODELS[name].options else None


def published_files() -> dict[str, str]:
    """Return ``{builder, or builder:word: torchvision's file}``."""
    files = {}
    for name, model in MODELS.items():
        for key, file in model.weights.items():
            if key in WORDS:
                files[name if WORDS[key] in ("imagenet", "coco") else f"{name}:{WORDS[key]}"] = file.file
    return files


def earlier_files() -> dict[str, str]:
    """Return ``{torchvision's file: the file that it published before with the same weights}``."""
    models = (model.weights for model in MODELS.values())
    return {files["IMAGENET1K_V1"].file: files["FIRST"].file for files in models if "FIRST" in files}


def published_model(sha256: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return the builder, and its arguments, of torchvision's published file of a hash."""
    found = registry.find_weight_file(sha256)
    return None if found is None else (found[0].name, found[1].arguments)


def check_values(name: str, arguments: Mapping[str, Any]) -> None:
    """Check a builder's arguments by its own rules.

    Raises:
        CheckpointError: if it would refuse one, in its words.
    """
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        MODELS[name].check_options(values)
    except InvalidArgument as error:
        raise CheckpointError(f"--meta {error.problem}") from error


def defaults(name: str) -> Any:
    """Return the default of every option of a detector, as attributes."""
    return MODELS[name].default_options


def build(name: str, arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]] | None:
    """Build a model, and return the shapes of its arrays by name, or None where Chainer is not installed.

    Raises:
        CheckpointError: if the builder refuses an argument, in its words.
    """
    try:
        from chainer import serializers
    except ImportError:
        return None
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        link = MODELS[name].builder(**values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"--meta: {error}") from error
    serializer = serializers.DictionarySerializer()
    serializer.save(link)
    return {key: np.shape(value) for key, value in serializer.target.items() if value is not None}
