"""The whole state of a training in a file."""

import os
import pathlib

import chainer
import numpy as np
from chainer import serializers
from chainer.training import extension

from chainfpn._typing import Communicator, PathLike
from chainfpn.serialization import WeightsError, read_weights

#: What files of earlier versions call an extension, and what it is called now.
_FORMER = {"KeepWeights": "BestWeights", "Curves": "PlotMetrics"}


class Snapshot(extension.Extension):
    """Write the trainer's state at the end of every epoch, always to the same file.

    Unlike Chainer's extension of this kind it never leaves half a file under the name. Of several processes each writes
    its own; the new files take the place of the old ones when all are complete.

    Args:
        path (str or os.PathLike): The file; the process of rank 1 writes ``NAME-1.npz`` for ``NAME.npz``.
        comm (chainermn.CommunicatorBase or None): The processes, all of which must have this extension.

    Attributes:
        path (pathlib.Path): The file of this process.
    """

    name = "Snapshot"
    trigger = 1, "epoch"
    priority = -100  # after everything that has a state

    def __init__(self, path: PathLike, *, comm: Communicator = None) -> None:
        path = pathlib.Path(path)
        self.path = path.with_stem(f"{path.stem}-{comm.rank}") if comm is not None and comm.rank else path
        self.comm = comm

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Write the file.

        Args:
            trainer (chainer.training.Trainer): The trainer.
        """
        if self.comm is None:
            save_snapshot(self.path, trainer)
            return
        complete = self.path.with_name(f"{self.path.name}.part")
        save_snapshot(complete, trainer)
        self.comm.mpi_comm.barrier()
        complete.replace(self.path)


def save_snapshot(path: PathLike, trainer: chainer.training.Trainer) -> None:
    """Write the state of a trainer: model, optimizer, iterator, extensions, triggers.

    Args:
        path (str or os.PathLike): The file, in the format of ``chainer.serializers.save_npz``.
        trainer (chainer.training.Trainer): The trainer.

    Raises:
        ValueError: if the file cannot be written.
    """
    from weights_convert import atomic_write

    serializer = serializers.DictionarySerializer()
    serializer.save(trainer)
    with atomic_write(path) as file:
        np.savez(file, **{name: array for name, array in serializer.target.items() if array is not None})


def load_snapshot(path: PathLike, trainer: chainer.training.Trainer) -> None:
    """Bring a trainer into the state that a snapshot holds. Nothing is unpickled.

    Args:
        path (str or os.PathLike): What :func:`save_snapshot` wrote of a trainer that was made in the same way.
        trainer (chainer.training.Trainer): The trainer, not yet run.

    Raises:
        WeightsError: if the file is not a snapshot, or one of another model.
        OSError: if it cannot be read.
    """
    arrays, _ = read_weights(path, whole_snapshot=True)
    arrays = {"/".join(_FORMER.get(part, part) for part in name.split("/")): array for name, array in arrays.items()}
    try:
        serializers.NpzDeserializer(arrays).load(trainer)
    except (KeyError, ValueError, TypeError) as error:
        problem = f"must be the snapshot of a training with the same options, got {error}"
        raise WeightsError(f"{os.path.basename(path)}: {problem}") from error
