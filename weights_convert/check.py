"""Prove a conversion: what was written reads back equal, and torch reads the source as we do."""

import inspect
import pickle
from collections.abc import Callable, Mapping

from weights_convert._typing import Array, PathLike
from weights_convert.errors import CheckpointError
from weights_convert.find_state_dict import StateDict, find_state_dict
from weights_convert.read.contents import open_checkpoint


def check_written(path: PathLike, names: Mapping[str, str], read: Callable[[str], Array]) -> None:
    """Reload a written file and compare every array with what should be in it, bit for bit.

    Args:
        path (str or path): The file.
        names (dict): ``{npz name: its name in the file}``.
        read (callable): Gives the array that should be under an .npz name.

    Raises:
        CheckpointError: naming the first array that differs.
    """
    contents = open_checkpoint(path)
    tensors = find_state_dict(contents).tensors
    if set(names.values()) != set(tensors):
        raise CheckpointError(f"{contents.source.name}: was written with other names than it should have")
    for name, written in names.items():
        if not same(tensors[written].array(), read(name)):
            raise CheckpointError(f"{contents.source.name}: {written} reads back different: the disk may be faulty")
        tensors[written].storage.release()


def same(a: Array, b: Array) -> bool:
    """Return whether two arrays have the same dtype, shape and bytes (so that NaN equals NaN, and 0.0 is not -0.0)."""
    return a.dtype == b.dtype and a.shape == b.shape and bytes(a.tobytes()) == bytes(b.tobytes())


def check_against_torch(path: PathLike, state: StateDict) -> str:
    """Load a checkpoint with torch too, where it is installed, and compare every tensor.

    Only torch's own restricted loader is used (``weights_only=True``), so nothing in the file is executed here either.

    Args:
        path (str or path): The checkpoint.
        state (StateDict): The state dict as it is in the file.

    Returns:
        str: What was compared, or why nothing was.

    Raises:
        CheckpointError: naming the first tensor that differs.
    """
    try:
        import torch
    except ImportError:
        return "torch is not installed here: the source was not compared with what torch reads"
    if "weights_only" not in inspect.signature(torch.load).parameters:
        return f"torch {torch.__version__} has no restricted loader: the source was not compared with what torch reads"
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, pickle.UnpicklingError) as error:
        return f"torch does not load this file with weights_only=True ({str(error).splitlines()[0][:80]}): not compared"
    values = loaded
    for key in state.entry.split("/") if state.entry else ():
        values = values[key]
    for name, tensor in state.tensors.items():
        if name not in values:
            raise CheckpointError(f"{name} is not among the tensors that torch reads")
        value = torch.as_tensor(values[name]).detach()
        array = (value.float() if value.dtype == torch.bfloat16 else value).contiguous().numpy()
        if not same(array, tensor.array()):
            raise CheckpointError(f"{name} differs from what torch reads")
    return f"{len(state.tensors)} tensors are equal to what torch {torch.__version__} reads"
