"""Where PyTorch keeps the files that it has downloaded."""

import os
import pathlib
from collections.abc import Iterable

from weights_convert.files import sha256


def folders() -> list[pathlib.Path]:
    """Return the folders, newest habit first, whether or not they are there.

    ``hub/checkpoints`` of today's torch.hub and ``checkpoints`` of PyTorch 1.1 to 1.5, in ``$TORCH_HOME``,
    ``$XDG_CACHE_HOME/torch`` or ``~/.cache/torch``; and before that ``$TORCH_MODEL_ZOO`` or ``~/.torch/models``.
    """
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "torch"
    torch_home = pathlib.Path(os.environ.get("TORCH_HOME") or cache)
    model_zoo = pathlib.Path(os.environ.get("TORCH_MODEL_ZOO") or pathlib.Path.home() / ".torch" / "models")
    return [torch_home / "hub" / "checkpoints", torch_home / "checkpoints", torch_home / "models", model_zoo]


def find(files: Iterable[str], *, check: bool = True) -> pathlib.Path | None:
    """Find a published file that PyTorch has downloaded already.

    Args:
        files (iterable of str): Names it may have, each with the first digits of its SHA-256 before ``.pth``.
        check (bool): Compute the hash; a file that has another is passed over.

    Returns:
        pathlib.Path or None: The first that is there.
    """
    for path in (folder / file for file in files for folder in folders()):
        wanted = path.stem.rpartition("-")[2]
        try:
            if path.is_file() and (not check or sha256(path).startswith(wanted)):
                return path
        except OSError:  # is not ours to read
            continue
    return None
