"""Write a model as ONNX files."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import chainer

from chainfpn._option_rules import RULES
from chainfpn._typing import PathLike, Size
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.export._onnx import require_onnx
from chainfpn.export.dense import Part, array_names, dense_graph, parts_of
from chainfpn.export.end_to_end import end_to_end_graph
from chainfpn.export.trace import as_array, check_float32
from chainfpn.links.detectors.detector import Detector

#: What a file may hold.
FORMS = ("dense", "end_to_end")


def export_onnx(
    model: chainer.Link, path: PathLike, *, form: str | None = None, sizes: Sequence[Size] | None = None
) -> list[pathlib.Path]:
    """Write a model as ONNX.

    *Dense* is what the network computes of a prepared batch (B, 3, H, W), any B, H and W: class scores, maps, or maps
    and what the heads predict. Of a detector of two stages it is several files: ``OUT.onnx`` up to the head of the
    region proposal network, and ``OUT.box.onnx``, ``OUT.mask.onnx``, ``OUT.keypoint.onnx`` behind RoI Align; of a
    cascade ``OUT.box0.onnx``, ``OUT.mask0.onnx``, ``OUT.box1.onnx`` and so on.
    *End to end*, of detectors only, takes one image, float32 (3, H, W), RGB, 0..255, of any size, and gives what
    ``predict`` finds in it with the thresholds that are set now.

    The operators are those of ONNX's opset 17. Batch normalizations stand in the weights of the convolutions before
    them. The metadata of the file has the model's name, labels, input statistics and settings, as JSON.

    Args:
        model (chainer.Link): A classifier, a pyramid, a detector, or any chain that maps (B, 3, H, W) to a Variable, a
            sequence or a dict of them; on the CPU, float32.
        path (str or os.PathLike): The file. It appears when it is complete.
        form (str or None): ``'dense'`` or ``'end_to_end'``; by default end to end of a detector, else dense.
        sizes (pair of (int, int) or None): Heights and widths that the model is run at to see what it does, for a chain
            that does not take every size; the more they differ, the better. A side that is the same in both is the
            only one that the file takes.

    Returns:
        list of pathlib.Path: The files.

    Raises:
        ExportError: if the model calls a function that has no translation, which is named.
        ImportError: if onnx is missing.
        InvalidArgument: if form is another word, or does not go with the model; or the weights are not float32, or have
            more bytes than a file of ONNX.
        InvalidType: if model is no link.
        OSError: if a file cannot be written.

    Example:
        >>> from chainfpn import export_onnx, models
        >>> export_onnx(models.fasterrcnn_resnet50_fpn(pretrained_model="coco"), "faster.onnx")  # doctest: +SKIP
    """
    protos = onnx_models(model, form=form, sizes=sizes)
    paths = part_paths(protos, pathlib.Path(path))
    write_models(protos, paths)
    return [*paths.values()]


def write_models(protos: Mapping[str, Any], paths: Mapping[str, pathlib.Path]) -> None:
    """Check the onnx.ModelProto of each part, and write each to its file, which appears when it is complete.

    Raises:
        OSError: if a file cannot be written.
    """
    onnx = require_onnx()
    for proto in protos.values():
        onnx.checker.check_model(proto, full_check=True)
    for name, proto in protos.items():
        _write(paths[name], proto.SerializeToString())


def part_paths(parts: Iterable[str], path: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the file of each part of a model, whose first part has the path itself."""
    return {name: path if name == "image" else path.with_suffix(f".{name}{path.suffix}") for name in parts}


def onnx_models(model: chainer.Link, *, form: str | None = None, sizes: Sequence[Size] | None = None) -> dict[str, Any]:
    """Return a model as ONNX; the arguments are those of :func:`export_onnx`.

    Returns:
        dict: Name of the part, ``'image'`` first, to onnx.ModelProto.
    """
    if not isinstance(model, chainer.Link):
        raise InvalidType("export_onnx", "model", "a chainer.Link", model)
    if form is None:
        form = "end_to_end" if isinstance(model, Detector) else "dense"
    if form not in FORMS:
        raise InvalidArgument("export_onnx", "form", f"one of {', '.join(FORMS)}", form)
    if form == "end_to_end" and not isinstance(model, Detector):
        raise InvalidArgument("export_onnx", "form", "dense for what is no detector", form)
    require_onnx()
    check_float32("export_onnx", model)
    if form == "dense":
        return part_models(model, parts_of(model, sizes), form)
    graph = end_to_end_graph(model, array_names(model))
    return {"image": graph.model("image", {**metadata(model, form), "part": "image"})}


def part_models(model: chainer.Link, parts: Mapping[str, Part], form: str) -> dict[str, Any]:
    """Return the onnx.ModelProto of each part of a model; for ``form`` see :func:`metadata`."""
    names = array_names(model)
    graphs = {name: dense_graph(part, names) for name, part in parts.items()}
    texts = metadata(model, form)  # of weights that may have been initialized only now
    return {name: graphs.pop(name).model(name, {**texts, "part": name}) for name in [*graphs]}


def metadata(model: chainer.Link, form: str) -> dict[str, str]:
    """Return what a file says of its model.

    Args:
        model (chainer.Link): The model.
        form (str): Of the file.

    Returns:
        dict: ``form``; ``weights``, their hash; ``model`` and ``arguments``, by which chainfpn builds it;
        ``label_names`` and ``class_ids``; ``input``, the numbers of the preprocess; ``settings``, the thresholds and
        the like of the detector and its parts; all but the first three as JSON.
    """
    meta = model.current_meta() if isinstance(model, Detector) else getattr(model, "meta", {})
    texts = {"form": form, "model": meta.get("model", type(model).__name__), "weights": weights_digest(model)}
    values: dict[str, Any] = {"arguments": meta.get("arguments"), "label_names": getattr(model, "label_names", None)}
    values["class_ids"] = getattr(model, "class_ids", None)
    values["input"] = _settings(getattr(model, "preprocess", None), ("mean", "std", "resize", "crop", "max_size"))
    parts = {"detector": model, "rpn": getattr(model, "rpn", None), "roi_heads": getattr(model, "roi_heads", None)}
    values["settings"] = {name: numbers for name, part in parts.items() if (numbers := _settings(part))}
    return texts | {key: json.dumps(value) for key, value in values.items() if value}


def weights_digest(model: chainer.Link) -> str:
    """Return the SHA-256 of a model's weights and their names, in hexadecimal digits; some may not be made yet."""
    digest = hashlib.sha256()
    for path, link in sorted(model.namedlinks()):
        for leaf in sorted(link._params | link._persistent):
            array = as_array(getattr(link, leaf))
            digest.update(f"{path}/{leaf}".encode())
            digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()


def _settings(part, names=()):
    """Return the settings among the attributes of a part of a model."""
    settings = {name: getattr(part, name) for name in (*RULES, *names) if hasattr(part, name)}
    return {name: _json_value(value) for name, value in settings.items()}


def _json_value(value):
    """Return a setting as JSON can hold it."""
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple | range) else value


def _write(path, content):
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
