"""``__meta__``: what weights cannot say about their model, as a JSON object inside the .npz."""

import ast
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from weights_convert._typing import Array, Json
from weights_convert.errors import CheckpointError, printable, translate
from weights_convert.known_models import builder_arguments, count_labels
from weights_convert.read.contents import Contents

FORMAT = 1

#: Class names that go by a name of their own, and how many they are.
LABEL_SETS = {"coco": 80, "imagenet": 1000, "voc": 20}

#: Kinds of input a model was trained with: torchvision's, or BGR in 0..255 minus the mean.
INPUTS = ("torchvision", "caffe")

#: What files of earlier versions call an argument, and what it is called now.
_FORMER_NAMES = {"raw_labels": "class_ids"}


def rename_former_arguments(arguments: Json) -> Json:
    """Give a builder's arguments their names of today.

    Args:
        arguments (dict): The ``arguments`` of a ``__meta__``, of any version.

    Returns:
        dict: The same values.

    Example:
        >>> rename_former_arguments({"raw_labels": [1, 2], "min_size": 600})
        {'class_ids': [1, 2], 'min_size': 600}
    """
    return {_FORMER_NAMES.get(key, key): value for key, value in arguments.items()}


def own_meta(contents: Contents) -> Json:
    """Return the ``__meta__`` object of a file that this package wrote, else an empty dict."""
    meta: Any = contents.meta or {}
    if contents.format == "safetensors":
        try:
            meta = json.loads(meta.get("chainfpn", "{}"))
        except (ValueError, TypeError, RecursionError):
            return {}
    return {**meta, "arguments": rename_former_arguments(meta["arguments"])} if _is_own(meta) else {}


def _is_own(meta: Any) -> bool:
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        return False
    parts = (meta.get("arguments"), meta.get("source", {}), meta.get("torch_names", {}))
    return all(isinstance(part, dict) for part in parts) and all(isinstance(name, str) for name in parts[2].values())


def parse_key_values(pairs: Iterable[str]) -> Json:
    """Read options that are given as texts.

    Args:
        pairs (iterable of str): ``KEY=VALUE`` each, or ``@`` and the path of a JSON object. A value is JSON, a Python
            literal, or text; that of ``label_names`` is names with commas between them, or the name of a data set.

    Returns:
        dict: The values by key.

    Raises:
        CheckpointError: if a text has no key or no ``=``, or a file is no JSON object.

    Example:
        >>> parse_key_values(["min_size=600", "label_names=cat,dog", "rules=chainercv"])
        {'min_size': 600, 'label_names': ['cat', 'dog'], 'rules': 'chainercv'}
    """
    result: Json = {}
    for pair in pairs:
        if pair.startswith("@"):
            result |= _read_settings(pair[1:])
            continue
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise CheckpointError(f"--meta takes KEY=VALUE, got {pair!r}")
        result[key] = _parse_value(key, text)
    return result


def _read_settings(path: str) -> Json:
    sentence = f"--meta @{path}: must be a JSON file that can be read"
    with translate((OSError, ValueError, RecursionError), sentence), open(path, encoding="utf-8") as file:
        settings = json.load(file)
    if not isinstance(settings, dict):
        raise CheckpointError(f"--meta @{path}: must hold a JSON object, got {type(settings).__name__}")
    return settings


def _parse_value(key: str, text: str) -> Any:
    if key == "label_names" and not text.startswith("["):
        return text if text in LABEL_SETS else [name.strip() for name in text.split(",")]
    if key == "label_names":
        rule = "coco, imagenet, voc or names with commas"
        with translate((ValueError, RecursionError), f"--meta label_names must be {rule}, got {text[:40]!r}"):
            return [str(name) for name in json.loads(text)]
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return json.loads(json.dumps(parse(text)))
    return text


def make_meta(
    model: str | None, arguments: Json, extra: Json, *, source: str, sha256: str, converter: str, own_names: Any = None
) -> Json:
    """Return the ``__meta__`` object.

    Args:
        model (str or None): The builder.
        arguments (dict): Its arguments as recognized.
        extra (dict): From ``--meta``; ``label_names`` or arguments of the builder.
        source (str): Name of the file the weights came from.
        sha256 (str): Its hash.
        converter (str): Version of this package.
        own_names: The file's own ``label_names``, which are kept where they fit and nobody gives others.

    Raises:
        CheckpointError: if ``extra`` has a key the builder does not take, or names that do not count up.
    """
    extra = rename_former_arguments(extra)
    label_names, kind = extra.pop("label_names", None), extra.pop("input", INPUTS[0])
    extra.pop("labels_from", None)  # which is settled already
    if kind not in INPUTS:
        raise CheckpointError(f"--meta input must be one of {', '.join(INPUTS)}, got {kind!r}")
    known = frozenset(extra) if model is None else builder_arguments(model)
    if unknown := [key for key in extra if key not in known]:
        raise CheckpointError(f"--meta {unknown[0]}: {model} takes {', '.join(sorted(known | {'label_names'}))}")
    is_coco = arguments.get("class_ids") is not None and arguments.get("n_fg_class") == 80
    arguments = arguments | extra
    if label_names is None:
        label_names = "coco" if is_coco else None
        label_names = own_names if own_names and not _fault(own_names, model, arguments) else label_names
    elif fault := _fault(label_names, model, arguments):
        raise CheckpointError(f"--meta label_names {fault}")
    source_of = {"file": source, "sha256": sha256}
    about = {"format": FORMAT, "model": model, "arguments": arguments, "label_names": label_names}
    return {**about, "source": source_of, "converter": converter}


def _fault(label_names: Any, model: str | None, arguments: Json) -> str:
    """Return what is wrong with names of labels, empty if they may be those of a model."""
    is_set = isinstance(label_names, str) and label_names in LABEL_SETS
    if not is_set and not (isinstance(label_names, (list, tuple)) and all(isinstance(n, str) for n in label_names)):
        return f"must be {', '.join(LABEL_SETS)} or a list of names, got {label_names!r:.60}"
    n_names = LABEL_SETS[label_names] if is_set else len(label_names)
    n_labels = n_names if model is None else count_labels(model, arguments)
    if n_labels is None:
        return f"must be left out of {model}, which has no labels"
    return "" if n_names == n_labels else f"has {n_names} names, the model has {n_labels} classes"


def meta_array(meta: Json) -> Array:
    """Return ``__meta__`` as the array that goes into the .npz; see `meta_text`."""
    return np.array(meta_text(meta))


def meta_text(meta: Json) -> str:
    """Return ``__meta__`` as JSON; a CheckpointError if a number is not finite, which JSON cannot say."""
    with translate(ValueError, f"__meta__ must have finite numbers only, got {printable(repr(meta))}"):
        return json.dumps(meta, sort_keys=True, allow_nan=False)
