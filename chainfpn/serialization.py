"""Weights between a file and a link: nothing is unpickled, nothing half loaded, every problem named at once."""

import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import chainer
import numpy as np
from chainer import serializers
from chainer.backends import cuda

from chainfpn._typing import Array, PathLike

#: Where trainers put the weights of the model they train: below the updater, and below a train chain.
_SNAPSHOT_PREFIXES = ("updater/model:main/model/", "updater/model:main/")


class WeightsError(ValueError):
    """A weight file that does not fit the link, or is none.

    Args:
        message (str or None): What is wrong; without one the message lists the names that do not fit.
        file (str or None): The file.
        missing (iterable of str): Names that the link has and the file has not.
        unexpected (iterable of str): Names that the file has and the link has not.
        misshapen (dict or None): Name to the shape in the file and the shape in the link.

    Attributes:
        file (str or None): The file.
        missing (tuple of str): Names that the link has and the file has not.
        unexpected (tuple of str): Names that the file has and the link has not.
        misshapen (dict): Name to the shape in the file and the shape in the link.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        file: str | None = None,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        misshapen: Mapping[str, tuple[tuple, tuple]] | None = None,
    ) -> None:
        self.file, self.missing, self.unexpected = file, tuple(missing), tuple(unexpected)
        self.misshapen = dict(misshapen or {})
        problems = [f"{name} is missing" for name in self.missing]
        problems += [f"{name} is not in the model" for name in self.unexpected]
        problems += [f"{name} has shape {a} in the file, {b} in the model" for name, (a, b) in self.misshapen.items()]
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems) if message is None else message)


def read_weights(path: PathLike, *, whole_snapshot: bool = False) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read all arrays of an .npz.

    Of a trainer's snapshot, only the arrays of the model are returned, under the model's own names.

    Args:
        path (str or os.PathLike): An .npz as the converter, ``chainer.serializers.save_npz`` or a trainer's
            ``snapshot`` extension wrote it.
        whole_snapshot (bool): Return everything in a trainer's snapshot, as it is named there.

    Returns:
        tuple of two dicts: Name to array, and the file's ``__meta__`` (empty if it has none).

    Raises:
        WeightsError: if the file is not an .npz, holds pickled objects, or its ``__meta__`` is not JSON.
        OSError: if it cannot be read.
    """
    file = os.path.basename(path)
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as npz:
            if not hasattr(npz, "files"):
                raise WeightsError(f"{file}: must be an .npz archive, got a single array", file=file)
            arrays = {name: _read(npz, name, file) for name in npz.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(f"{file}: must be an .npz archive, got a damaged one ({error})", file=file) from error
    except WeightsError:
        raise
    except ValueError as error:
        raise WeightsError(f"{file}: must be an .npz archive, got another kind of file", file=file) from error
    meta = _meta(file, arrays.pop("__meta__", None))
    for prefix in () if whole_snapshot else _SNAPSHOT_PREFIXES:
        inside = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        if inside:
            return inside, meta
    return arrays, meta


def load_weights(path: PathLike, link: chainer.Link, *, strict: bool = True) -> dict[str, Any]:
    """Load an .npz into a link.

    Names, presence and shapes are all checked before anything is changed. The batch counter ``N`` of batch
    normalization is never required: PyTorch wrote none before 0.4.1, and frozen layers have none.

    Args:
        path (str or os.PathLike): The file; see :func:`read_weights`.
        link (chainer.Link): The model, on any device.
        strict (bool): Whether names that only one side has are an error; shapes always are.

    Returns:
        dict: The file's ``__meta__``, empty if it has none.

    Raises:
        WeightsError: naming all keys that are missing, unexpected or misshapen, or saying that the file is no .npz.
        OSError: if the file cannot be read.
    """
    arrays, meta = read_weights(path)
    set_weights(arrays, link, strict=strict, file=os.path.basename(path))
    return meta


def save_weights(
    path: PathLike, link: chainer.Link, *, dtype: str | None = None, meta: dict[str, Any] | None = None
) -> None:
    """Write a link's weights to an .npz that names their model.

    The file appears under its name when it is complete, never before. What a builder made can be loaded again by
    :func:`chainfpn.models.load`, detected with, and converted to a .pth.

    Args:
        path (str or os.PathLike): The file.
        link (chainer.Link): The model, on any device. What its builder left in its attribute ``meta`` goes into the
            file's ``__meta__``, and the sizes and statistics of its preprocess as they are now.
        dtype (str or None): What floating-point arrays are stored in, such as ``'float16'``; their own by default.
        meta (dict or None): More entries of ``__meta__``, JSON values.

    Raises:
        ValueError: if the file cannot be written, or a number in ``meta`` is not finite.

    Example:
        >>> from chainfpn import models, save_weights
        >>> save_weights("detector.npz", models.fasterrcnn_resnet50_fpn())  # doctest: +SKIP
    """
    from weights_convert import write_npz

    arrays = {name: np.asarray(cuda.to_cpu(value)) for name, value in _entries(link).items() if value is not None}
    own = link.current_meta() if hasattr(link, "current_meta") else getattr(link, "meta", {})
    write_npz(path, arrays, meta={**own, **(meta or {})}, dtype=dtype)


def set_weights(
    arrays: Mapping[str, Array],
    link: chainer.Link,
    *,
    strict: bool = True,
    within: Iterable[str] = ("",),
    file: str = "weights",
) -> None:
    """Put arrays into a link; see :func:`load_weights`.

    Args:
        arrays (dict of array): Name, such as ``layer1/0/conv1/W``, to array.
        link (chainer.Link): The model.
        strict (bool): Whether names that only one side has are an error.
        within (sequence of str): Beginnings of the link's names that are meant; all of them by default.
        file (str): Name of the arrays in errors.

    Raises:
        WeightsError: naming all keys that are missing, unexpected or misshapen.
    """
    expected = {name: array for name, array in _entries(link).items() if name.startswith(tuple(within))}
    counters = {name for name in expected.keys() | arrays.keys() if name.rpartition("/")[2] == "N"}
    missing = sorted(expected.keys() - arrays.keys() - counters) if strict else []
    unexpected = sorted(arrays.keys() - expected.keys() - counters) if strict else []
    misshapen = {}
    for name in sorted(expected.keys() & arrays.keys()):
        shapes = arrays[name].shape, np.shape(expected[name])
        if expected[name] is not None and expected[name].dtype != object and shapes[0] != shapes[1]:
            misshapen[name] = shapes
    if missing or unexpected or misshapen:
        raise WeightsError(file=file, missing=missing, unexpected=unexpected, misshapen=misshapen)
    serializers.NpzDeserializer(arrays, strict=False).load(link)


def _entries(link: chainer.Link) -> dict[str, Array]:
    """Return all that a link saves, by name; None where it has no value yet."""
    serializer = serializers.DictionarySerializer()
    serializer.save(link)
    return serializer.target


def _read(npz: Any, name: str, file: str) -> Array:
    try:
        return npz[name]
    except ValueError as error:
        raise WeightsError(f"{file}: {name} is a pickled object, which is never loaded", file=file) from error


def _meta(file: str, entry: Array | None) -> dict[str, Any]:
    if entry is None:
        return {}
    try:
        meta = json.loads(str(entry[()]))
    except ValueError as error:
        raise WeightsError(f"{file}: __meta__ must be JSON, got {str(entry[()])[:80]!r}", file=file) from error
    if not isinstance(meta, dict):
        raise WeightsError(f"{file}: __meta__ must be a JSON object, got {type(meta).__name__}", file=file)
    return meta
