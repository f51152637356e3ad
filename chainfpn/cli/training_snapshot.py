"""The state of a training on disk: a snapshot per process, all of them of the same step."""

from chainfpn.cli.errors import CommandError
from chainfpn.training import Snapshot, load_snapshot, save_snapshot


class CommonSnapshot(Snapshot):
    """Write the state of every process; the new files take the place of the old ones when all are complete.

    Args:
        out (pathlib.Path): The folder; the first process writes ``snapshot.npz``, the second ``snapshot-1.npz``.
        comm (chainermn.CommunicatorBase or None): The processes, all of which must have this extension.
    """

    def __init__(self, out, comm):
        rank = 0 if comm is None else comm.rank
        super().__init__(out / (f"snapshot-{rank}.npz" if rank else "snapshot.npz"))
        self.comm = comm

    def __call__(self, trainer):
        """Write the file.

        Args:
            trainer (chainer.training.Trainer): The trainer.
        """
        if self.comm is None:
            super().__call__(trainer)
            return
        complete = self.path.with_name(f"{self.path.name}.part")
        save_snapshot(complete, trainer)
        self.comm.mpi_comm.barrier()
        complete.replace(self.path)


def resume(snapshot, trainer, settings):
    """Go on where the training was stopped, which must be the same place in all processes.

    Args:
        snapshot (CommonSnapshot): The one that wrote the files.
        trainer (chainer.training.Trainer): The trainer, not yet run.
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Raises:
        CommandError: if the training cannot go on so.
        WeightsError: if a file is not the snapshot of such a training.
        OSError: if it cannot be read.
    """
    comm = snapshot.comm
    n_processes = 1 if comm is None else comm.size
    before = settings.before.get("processes", n_processes)
    if before != n_processes:
        raise CommandError(
            f"--resume: the training had {before} processes and must have as many now, not {n_processes}"
        )
    load_snapshot(snapshot.path, trainer)
    if comm is not None:
        iterations = sorted(set(comm.mpi_comm.allgather(trainer.updater.iteration)))
        if len(iterations) > 1:
            steps = " and ".join(map(str, iterations))
            raise CommandError(f"--resume: the snapshots of all processes must be of one step, got steps {steps}")
    done, told = trainer.updater.epoch, settings.before["settings"].get("epochs", settings.epochs)
    if settings.epochs < done:
        raise CommandError(
            f"--epochs must be at least the number of those that are done, {done}, got {settings.epochs}"
        )
    if settings.epochs != told and settings.schedule != "constant" and (comm is None or comm.rank == 0):
        print(
            f"--epochs {settings.epochs} instead of {told}: from here on the {settings.schedule} schedule is that of"
            f" {settings.epochs} epochs"
        )
