"""Checkpoints in several files: an index says which tensor is in which of them."""

import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.source import Source

if TYPE_CHECKING:
    from weights_convert.read.contents import Contents

#: How the names of indices end.
INDEX = ".index.json"

_SHARD = re.compile(r".*-(\d{5})-of-(\d{5})\.\w+")
_MAX_INDEX = 25_000_000
_MAX_SHARDS = 1000


def read_index(source: Source, open_shard: Callable[[str], "Contents"]) -> tuple[dict[str, Any], list["Contents"]]:
    """Return ``({name: Tensor}, contents of the shards)``.

    Args:
        source (Source): The index, ``{"weight_map": {name: file beside it}}`` in JSON.
        open_shard (callable): Opens a checkpoint.

    Raises:
        CheckpointError: if it is no index, or a shard does not hold what the index says.
    """
    with translate((ValueError, RecursionError), "the index is not JSON"):
        index = json.loads(bytes(source.view[:_MAX_INDEX]))
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise CheckpointError("the index has no weight_map of names to files")
    names = list(dict.fromkeys(files.values()))
    if len(names) > _MAX_SHARDS or any(not _is_beside(name) for name in names):
        raise CheckpointError(f"the index names shards that are no files beside it, or more than {_MAX_SHARDS}")
    shards = {name: open_shard(os.path.join(os.path.dirname(source.path), name)) for name in names}
    for name, file in files.items():
        if not isinstance(shards[file].tree, dict) or name not in shards[file].tree:
            raise CheckpointError(f"{name} is not in {file}, where the index says", names=(name,))
    return {name: shards[file].tree[name] for name, file in files.items()}, list(shards.values())


def _is_beside(name: str) -> bool:
    return name == os.path.basename(name) and name.isprintable() and not name.endswith(INDEX)


def describe_shard(name: str) -> str:
    """Return a sentence on a file that is one of several, by its name; empty if it is not."""
    match = _SHARD.fullmatch(name)
    return f"shard {int(match[1])} of {int(match[2])}: the {INDEX} beside it is the whole checkpoint" if match else ""
