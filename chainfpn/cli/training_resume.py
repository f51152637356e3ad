"""How a training stops before its end, and goes on: signals, saved options, snapshots of all processes."""

import argparse
import contextlib
import errno
import json
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import chainer
import numpy as np

from chainfpn import read_weights
from chainfpn._typing import Communicator
from chainfpn.cli.errors import CommandError, UsageError
from chainfpn.cli.training_options import OPTIONS
from chainfpn.training import EarlyStopping, Snapshot, load_snapshot

#: What every run is given anew, and is not kept in ``train.json``.
OF_EACH_RUN = ("command", "run", "stdout", "resume_state", *OPTIONS["run"])
#: What may differ in a resumed training without a word, and what from there on.
_CHANGEABLE = ("epochs", "evaluate_every", "samples", "snapshot_every", "log_every", "keep", "time_limit")
_FROM_HERE_ON = ("lr", "lr_batch", "warm_up", "schedule", "milestones", "weight_decay", "clip", "workers")
#: Of how many images a step is, by which schedule and snapshot count.
_OF_A_STEP = ("batch", "accumulate")
#: Where the data lie, which may differ if they are the same.
_DATA = ("data", "annotations", "split", "held_out", "validation", "validation_annotations", "validation_split")
#: Ctrl-C, and what mpiexec and the schedulers of clusters send in its place.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """End a training after its last epoch, or after the step during which Ctrl-C or SIGTERM came or its time was up.

    The second Ctrl-C ends the program at once; more of SIGTERM, which mpiexec may send several times, is ignored.

    Args:
        n_epochs (int): After how many epochs.
        comm (chainermn.CommunicatorBase or None): The processes, which all stop at the same step.
        minutes (float or None): After which time.
        early (EarlyStopping or None): Ends the training when it is exhausted, which the first process alone may know.

    Attributes:
        requested (bool): Whether a signal has come to any of them, or the time is up.
        ended_early (bool): Whether the training is at its end, for it has not become better.
    """

    def __init__(
        self,
        n_epochs: int,
        comm: Communicator,
        *,
        minutes: float | None = None,
        early: EarlyStopping | None = None,
    ) -> None:
        self.n_epochs, self.comm, self.early = n_epochs, comm, early
        self._deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        self.requested = self.ended_early = False

    def __call__(self, trainer: chainer.training.Trainer) -> bool:
        """Decide before a step whether to stop.

        Args:
            trainer (chainer.training.Trainer): The trainer.

        Returns:
            bool: Whether to.
        """
        self.requested |= time.monotonic() >= self._deadline
        self.ended_early = self.early is not None and self.early.exhausted
        if self.comm is not None:
            flags = self.comm.allreduce_obj(np.array([self.requested, self.ended_early], dtype=int))
            self.requested, self.ended_early = (flags > 0).tolist()
        return self.requested or self.ended_early or trainer.updater.epoch >= self.n_epochs

    def get_training_length(self) -> tuple[int, str]:
        """Return the length of the training, for ``ProgressBar``."""
        return self.n_epochs, "epoch"

    @contextlib.contextmanager
    def at_signal(self) -> Iterator[None]:
        """Listen to the signals while the block runs, which should save what there is at its end."""

        def request(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, former[signal.SIGINT])
            self.requested = True

        former = {number: signal.signal(number, request) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def to_json(settings: argparse.Namespace) -> dict[str, Any]:
    """Return the options that a training keeps in ``train.json``, as JSON values."""
    return {key: value for key, value in vars(settings).items() if key not in OF_EACH_RUN}


def resumed_settings(given: dict[str, Any], defaults: dict[str, Any]) -> argparse.Namespace:
    """Return the options of the training in ``--out``, with those of this run.

    Args:
        given (dict): What the command line has.
        defaults (dict): Every option and its default.

    Returns:
        argparse.Namespace: Every option, and ``resume_state``, the content of ``train.json``, or None if there is no
        snapshot yet, so that the training begins at its first step, and any option may differ.

    Raises:
        CommandError: if there is no training, or it had other options.
    """
    path = given["out"] / "train.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        saved = {**defaults, **state["settings"]}
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror}); --resume needs a training in --out") from None
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{path}: is not what a training wrote") from None
    begun = any(given["out"].glob("snapshot.npz*"))
    changeable = _changeable(state) if begun else given
    others = [key for key in given if key not in changeable and given[key] != saved[key]]
    if others:
        flags = ", ".join("--" + key.replace("_", "-") for key in others)
        problem = f"--resume goes on with the options in {path}, but {flags} would change them"
        if {*others} & {*_OF_A_STEP}:
            problem += f"; schedule and snapshot count steps, so start anew with --weights {given['out'] / 'last.npz'}"
        raise UsageError(problem)
    return argparse.Namespace(**{**saved, **given, "resume_state": state if begun else None})


def _changeable(state: dict[str, Any]) -> tuple[str, ...]:
    """Return the options that may differ from those in ``train.json``."""
    counts = [count for count in state.get("data", {}).values() if count is not None]
    is_known = bool(counts) and all("sha256" in count for count in counts)
    return *OF_EACH_RUN, *_CHANGEABLE, *_FROM_HERE_ON, *(_DATA if is_known else ())


def resume(snapshot: Snapshot, trainer: chainer.training.Trainer, settings: argparse.Namespace) -> None:
    """Go on where the training was stopped, which must be the same place in all processes.

    Args:
        snapshot (Snapshot): The one that wrote the files.
        trainer (chainer.training.Trainer): The trainer, not yet run.
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Raises:
        CommandError: if the training cannot go on so.
        WeightsError: if a file is not the snapshot of such a training.
        OSError: if it cannot be read.
    """
    comm, state, n_epochs = snapshot.comm, settings.resume_state, settings.epochs
    n_processes = 1 if comm is None else comm.size
    n_saved = state.get("processes", n_processes)
    if n_saved != n_processes:
        raise CommandError(
            f"--resume: the training had {n_saved} processes and must have as many now, not {n_processes}"
        )
    load_snapshot(snapshot.path if comm is None else _common_file(snapshot), trainer)
    done = trainer.updater.epoch
    if n_epochs < done:
        raise CommandError(f"--epochs must be at least the number of those that are done, {done}, got {n_epochs}")
    if comm is None or comm.rank == 0:
        _print_changes(settings, state["settings"])


def _common_file(snapshot: Snapshot) -> pathlib.Path:
    """Return the file of this process, of the last step that all have one of.

    They may have been killed while one after the other put a complete file in the place of the one before.
    """
    steps = {}
    for path in (snapshot.path, snapshot.complete_path):
        if path.exists():
            arrays, _ = read_weights(path, whole_snapshot=True)
            steps[int(arrays.get("updater/iteration", 0))] = path
    if not steps:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(snapshot.path))
    of_all = snapshot.comm.mpi_comm.allgather(sorted(steps))
    common = set(of_all[0]).intersection(*of_all[1:])
    if not common:
        shown = " and ".join(map(str, sorted({step for one in of_all for step in one[-1:]})))
        raise CommandError(f"--resume: the snapshots of all processes must be of one step, got steps {shown}")
    return steps[max(common)]


def _print_changes(settings: argparse.Namespace, saved: dict[str, Any]) -> None:
    """Print what is different from here on."""
    n_epochs, before = settings.epochs, saved.get("epochs", settings.epochs)
    if n_epochs != before and settings.schedule != "constant":
        schedule = f"the {settings.schedule} schedule is that of {n_epochs} epochs"
        print(f"--epochs {n_epochs} instead of {before}: from here on {schedule}")
    if bool(settings.workers) != bool(saved.get("workers", settings.workers)):
        print("--workers: from here on images are changed by other random numbers than without --resume")
    for key in _FROM_HERE_ON:
        now, before = getattr(settings, key), saved.get(key, getattr(settings, key))
        if now != before:
            shown = "the default" if before is None else before
            print(f"--{key.replace('_', '-')} {now} instead of {shown} from here on")
