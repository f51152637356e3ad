"""Open whatever file there is: find out which container it is, read it, and name it in every error."""

from dataclasses import dataclass
from typing import Any

from weights_convert._typing import Json, PathLike
from weights_convert.errors import CheckpointError, error_context
from weights_convert.read import npz, safetensors, shards, torch_legacy, torch_tar, torch_zip
from weights_convert.read.allow_list import ALLOWED
from weights_convert.read.numpy_pickle import NumpyArray
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.placeholders import Blob, walk
from weights_convert.read.rebuild import Rebuilder
from weights_convert.read.source import Source
from weights_convert.read.tensor import Tensor
from weights_convert.read.zip_directory import read_directory

#: A file's tensors may share storages, but not claim more than this many times its size.
MAX_SHARING = 8
FREE_BYTES = 64 << 20

#: The smallest stream of one storage has about so many bytes.
_MIN_STREAM = 256

#: Other files that people feed to a converter: how they begin, and what to say.
_STRANGERS = (
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras, TensorFlow); there is no torch checkpoint in it"),
    (b"\x93NUMPY", "is a single .npy array, not a checkpoint; an .npz with named arrays is read"),
    (b"\x1f\x8b", "is gzip-compressed; unpack it first (gunzip)"),
    (b"BZh", "is bzip2-compressed; unpack it first (bunzip2)"),
    (b"\xfd7zXZ", "is xz-compressed; unpack it first (unxz)"),
    (b"GGUF", "is a GGUF file of llama.cpp, not a torch checkpoint"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"),
    (b"<!DOCTYPE", "is a web page, not a checkpoint: the download went wrong"),
    (b"<html", "is a web page, not a checkpoint: the download went wrong"),
    (b"\x08\x07\x12", "is an ONNX model, not a torch checkpoint"),
    (b"\x89PNG", "is a PNG image, not a checkpoint"),
    (b"\xff\xd8\xff", "is a JPEG image, not a checkpoint"),
)


@dataclass
class Contents:
    """What a file holds.

    Attributes:
        source (Source): The file.
        format (str): Which container it is, in words.
        tree: The object that was saved, with `Tensor` for tensors and inert records for the rest.
        meta (dict or None): ``__meta__`` of an .npz, ``__metadata__`` of a .safetensors.
        refused (str): Why a state dict of this file may be refused, the first reason; empty if there is none.
        unpacked (int): Bytes of all members of a zip, inflated, or of all shards; 0 for other files.
    """

    source: Source
    format: str
    tree: Any
    meta: Json | None = None
    refused: str = ""
    unpacked: int = 0


def open_checkpoint(path: PathLike) -> Contents:
    """Read a file of any container, without its tensors' values.

    Raises:
        CheckpointError: with one sentence that begins with the file's name.
    """
    source = Source(path)
    with error_context(source.name):
        contents = _read(source)
        _check_claims(contents)
    return contents


def _read(source: Source) -> Contents:
    if source.name.endswith(shards.INDEX):
        tensors, parts = shards.read_index(source, open_checkpoint)
        refused = next((part.refused for part in parts if part.refused), "")
        size = sum(part.source.size for part in parts)
        return Contents(source, f"{len(parts)} shards, {parts[0].format}", tensors, refused=refused, unpacked=size)
    head = bytes(source.view[:512])
    if head.startswith(b"PK"):
        members = read_directory(source)
        unpacked = sum(member.size for member in members.values())
        if npz.looks_like_npz(members):
            return Contents(source, npz.FORMAT, *npz.read_npz(members), unpacked=unpacked)
        tree, refused = torch_zip.read_torch_zip(members)
        return Contents(source, torch_zip.FORMAT, tree, refused=refused, unpacked=unpacked)
    if safetensors.looks_like_safetensors(source):
        return Contents(source, safetensors.FORMAT, *safetensors.read_safetensors(source))
    if head[257:262] == b"ustar":
        tree, refused = torch_tar.read_torch_tar(source)
        return Contents(source, torch_tar.FORMAT, tree, refused=refused)
    for start, sentence in _STRANGERS:
        if head.startswith(start):
            raise CheckpointError(sentence)
    return _read_pickle(source, head)


def _read_pickle(source: Source, head: bytes) -> Contents:
    if head[:1] not in (b"\x80", b"(", b"}", b"]", b"c"):
        raise CheckpointError("is not a checkpoint of any known kind (torch, safetensors, pickle, npz)")
    machine = Machine(source.view, allowed=ALLOWED | _storages_in_pickles(source))
    first = machine.load(strict=False)
    if type(first) is int and first == torch_legacy.MAGIC:
        tree, refused = torch_legacy.read_torch_legacy(source.view, source.release, strict=False)
        return Contents(source, torch_legacy.FORMAT, tree, refused=refused)
    return Contents(source, "pickle", first, refused=machine.refused)


def _storages_in_pickles(source: Source) -> dict[tuple[str, str], Rebuilder]:
    """Return the rebuilder of storages in plain pickles of tensors: each is a legacy stream of one storage."""
    left = [source.size + _MIN_STREAM]

    def load(data: Any) -> Any:
        view = data.bytes() if isinstance(data, Blob) else memoryview(data)
        left[0] -= max(len(view), _MIN_STREAM)
        if left[0] < 0:
            raise CheckpointError("the pickle loads the same bytes again and again")
        return torch_legacy.read_torch_legacy(view)[0]

    module, name = "torch.storage", "_load_from_bytes"
    return {(module, name): Rebuilder(f"{module}.{name}", load)}


def _check_claims(contents: Contents) -> None:
    found = (item.value if isinstance(item, NumpyArray) else item for item in walk(contents.tree, set()))
    claimed = sum(item.nbytes for item in found if isinstance(item, Tensor))
    if claimed > FREE_BYTES + MAX_SHARING * max(contents.source.size, contents.unpacked):
        raise CheckpointError(f"its tensors claim {claimed} bytes, in a file of {contents.source.size}")
