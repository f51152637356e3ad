"""Where the command writes: never over a file that it has not made from the same source, unless it is told to."""

import os
from collections.abc import Sequence

from weights_convert._typing import PathLike
from weights_convert.errors import CheckpointError
from weights_convert.files import sha256
from weights_convert.meta import own_meta
from weights_convert.read.contents import open_checkpoint
from weights_convert.read.shards import INDEX
from weights_convert.write import FORMATS, format_of


def is_conversion_of(path: PathLike, source: PathLike) -> bool:
    """Return whether a file was converted from another, as that is now.

    Args:
        path (str or path): What may be the result.
        source (str or path): What it may have been made from.

    Returns:
        bool: Whether the first says so in its ``__meta__``, by the SHA-256 of the second.

    Raises:
        OSError: if the source cannot be read.
    """
    try:
        source_hash = own_meta(open_checkpoint(path)).get("source", {}).get("sha256")
    except CheckpointError:
        return False
    return bool(source_hash) and source_hash == sha256(source)


def may_replace(path: PathLike, source: PathLike) -> bool:
    """Return whether nothing is lost if a file is converted to a path.

    Args:
        path (str or path): Where it would go.
        source (str or path): The file.

    Returns:
        bool: Whether there is no file, or one that was converted from this source. Where either is no regular file, or
        both are one, it is said by whoever opens them.
    """
    if not os.path.isfile(path) or not os.path.isfile(source) or os.path.samefile(source, path):
        return True
    return is_conversion_of(path, source)


def find_destinations(
    paths: Sequence[str], *, output: str | None, folder: str | None, to: str | None, force: bool
) -> list[tuple[str, str]]:
    """Pair each source with its destination, before anything is written.

    Args:
        paths (sequence of str): Sources; the second of exactly two is a destination, unless there is a folder.
        output (str or None): The destination of a single source.
        folder (str or None): Where the destinations go, instead of beside the sources.
        to (str or None): Their format; that of the destination's ending, or npz, by default.
        force (bool): Whether any file may be replaced.

    Returns:
        list of (str, str): Sources and destinations.

    Raises:
        CheckpointError: if a destination would replace what was not converted from its source, another source, or
            another destination, or if there can be no such folder.
    """
    sources = list(paths)
    if len(sources) == 2 and output is None and folder is None:
        output = sources.pop()
    if output is not None and (len(sources) > 1 or folder is not None):
        raise CheckpointError("-o/--output is for one source; --out names a folder for any number")
    pairs = []
    for source in sources:
        stem, _ = os.path.splitext(source.removesuffix(INDEX))
        stem = stem if folder is None else os.path.join(folder, os.path.basename(stem))
        pairs.append((source, output or stem + FORMATS[to or "npz"]))
    taken: dict[str, str] = {}
    for source, destination in pairs:
        if (other := taken.setdefault(os.path.realpath(destination), source)) != source:
            raise CheckpointError(f"{other} and {source} would both become {destination}")
        _check(source, destination, to, force)
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"--out {folder}: cannot be a folder: {error.strerror}") from error
    return pairs


def _check(source: str, destination: str, to: str | None, force: bool) -> None:
    if to is None:
        format_of(destination)  # which refuses an ending that it does not know
    if not force and not may_replace(destination, source):
        ways = "-o/--output names another file, --out a folder for any number of sources, --force replaces it"
        raise CheckpointError(f"{destination}: exists and was not converted from {source}; {ways}")
