"""The whole state of a training in a file, with what Chainer leaves out: random numbers, and mixed precision."""

import os
import pathlib
import time
import warnings

import chainer
import numpy as np
from chainer import serializers
from chainer.training import extension

from chainfpn._typing import Communicator, PathLike
from chainfpn.serialization import WeightsError, read_weights

#: What files of earlier versions call an extension, and what it is called now: as its class.
_FORMER = {"KeepWeights": "BestWeights", "Curves": "PlotMetrics"}


class Snapshot(extension.Extension):
    """Write the trainer's state at the end of every epoch, or as a trigger says, always to the same file.

    Unlike Chainer's extension of this kind it never leaves half a file under the name. Of several processes each writes
    its own; the new files take the place of the old ones when all are complete.

    Args:
        path (str or os.PathLike): The file; the process of rank 1 writes ``NAME-1.npz`` for ``NAME.npz``.
        comm (chainermn.CommunicatorBase or None): The processes, all of which must have this extension.
        keep (int): How many of the last files are there; all but the last are called ``NAME_STEP.npz``.

    Attributes:
        path (pathlib.Path): The file of this process.
        complete_path (pathlib.Path): Its name until those of all processes are complete.
    """

    trigger = 1, "epoch"
    priority = -100  # after everything that has a state

    def __init__(self, path: PathLike, *, comm: Communicator = None, keep: int = 1) -> None:
        path, self.keep = pathlib.Path(path), keep
        self.path = path.with_stem(f"{path.stem}-{comm.rank}") if comm is not None and comm.rank else path
        self.complete_path = self.path.with_name(f"{self.path.name}.part")
        self.comm = comm
        self._step: int | None = None

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Write the file."""
        if self.keep > 1:
            self._move_former()
        if self.comm is None:
            save_snapshot(self.path, trainer)
        else:
            save_snapshot(self.complete_path, trainer)
            self.comm.mpi_comm.barrier()
            self.complete_path.replace(self.path)
        if self.keep > 1:
            self._step = trainer.updater.iteration

    def _move_former(self) -> None:
        """Give the last file a second name, which it keeps, and remove the oldest ones."""
        if self._step is not None and self.path.exists():
            former = self.path.with_stem(f"{self.path.stem}_{self._step}")
            former.unlink(missing_ok=True)
            os.link(self.path, former)
        suffixes = {path: path.stem.rpartition("_")[2] for path in self.path.parent.glob(f"{self.path.stem}_*.npz")}
        files = {path: int(step) for path, step in suffixes.items() if step.isdecimal()}
        for path in sorted(files, key=files.__getitem__, reverse=True)[self.keep - 1 :]:
            path.unlink()


class SnapshotTrigger:
    """Trigger after the first step, at the end of each epoch, and whenever some time has passed, or so many steps.

    Args:
        seconds (float): The time.
        n_steps (int or None): Steps, in the place of the time.
        comm (chainermn.CommunicatorBase or None): The processes, which all trigger when the first one does.
    """

    def __init__(self, seconds: float, *, n_steps: int | None = None, comm: Communicator = None) -> None:
        self.seconds, self.n_steps, self.comm = seconds, n_steps, comm
        self._last = -float("inf")

    def __call__(self, trainer: chainer.training.Trainer) -> bool:
        """Decide after a step.

        Args:
            trainer (chainer.training.Trainer): The trainer.

        Returns:
            bool: Whether to write a snapshot.
        """
        due = time.monotonic() - self._last >= self.seconds
        if self.n_steps is not None:
            due = trainer.updater.iteration % self.n_steps == 0 or self._last < 0
        elif self.comm is not None:
            due = self.comm.bcast_obj(due if self.comm.rank == 0 else None)
        due = due or trainer.updater.is_new_epoch
        if due:
            self._last = time.monotonic()
        return due


class StateExtension(extension.Extension):
    """Put a state into the trainer's snapshot, and back; do nothing else.

    Subclasses define ``serialize``.
    """

    trigger = 1, "epoch"

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Do nothing; the state matters when it is serialized."""


class RandomState(StateExtension):
    """Let a training that is resumed draw the numbers that it would have drawn.

    Everything here draws from NumPy's global generator: the order of the examples, the transforms, the samplers. The
    snapshot keeps its state.
    """

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write the state of the generator, or set it.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        kind, keys, *numbers = np.random.get_state()
        keys = serializer("keys", keys)
        entries = zip(("position", "has_gauss", "gauss"), (int, int, float), numbers, strict=True)
        position, has_gauss, gauss = (to(serializer(name, value)) for name, to, value in entries)
        np.random.set_state((kind, keys, position, has_gauss, gauss))


class MixedPrecisionState(StateExtension):
    """Let a training in mixed precision that is resumed go on from the weights it really has.

    With ``use_fp32_update`` an optimizer updates a float32 copy of every float16 parameter, which is only that copy,
    rounded; with ``loss_scaling`` it searches for the largest scale of the loss. The snapshot keeps both; in full
    precision there is nothing to keep.

    Args:
        optimizer (chainer.Optimizer): The optimizer, set up, and with what is frozen frozen.
    """

    def __init__(self, optimizer: chainer.Optimizer) -> None:
        self.optimizer = optimizer

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write the float32 weights and the scale of the loss, or set them.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        optimizer = self.optimizer  # Chainer has no public way to any of this
        if optimizer._loss_scaling_is_dynamic:
            optimizer._loss_scale = float(serializer("loss_scale", optimizer._loss_scale))
            overflowed = serializer("overflowed", int(optimizer._loss_scaling_isnan_ever))
            optimizer._loss_scaling_isnan_ever = bool(overflowed)
        for path, param in sorted(optimizer.target.namedparams()):
            rule = param.update_rule
            if rule is None or not (rule.enabled and rule._use_fp32_update) or param.dtype != np.float16:
                continue
            if rule._fp32_param is None:
                rule._fp32_param = chainer.Parameter(param.array.astype(np.float32), name=param.name)
            rule._fp32_param.array = serializer(f"float32{path}", rule._fp32_param.array)


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
        with warnings.catch_warnings():  # a trigger that an earlier version did not have is asked at every step
            warnings.filterwarnings("ignore", "The previous value of .* is not saved", UserWarning)
            serializers.NpzDeserializer(arrays).load(trainer)
    except (KeyError, ValueError, TypeError) as error:
        problem = f"must be the snapshot of a training with the same options, got {error}"
        raise WeightsError(f"{os.path.basename(path)}: {problem}") from error
