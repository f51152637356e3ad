"""When a training ends: after its last epoch, or when it is asked to."""

import contextlib
import signal

#: Ctrl-C, and what mpiexec and the schedulers of clusters send in its place.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """End a training after its last epoch, or after the step during which Ctrl-C or SIGTERM came.

    The second Ctrl-C ends the program at once; more of SIGTERM, which mpiexec may send several times, is not listened
    to.

    Args:
        n_epochs (int): After how many epochs.
        comm (chainermn.CommunicatorBase or None): The processes, which all stop at the same step.

    Attributes:
        requested (bool): Whether a signal has come to any of them.
    """

    def __init__(self, n_epochs, comm):
        self.n_epochs = n_epochs
        self.comm = comm
        self.requested = False

    def __call__(self, trainer):
        """Decide before a step: bool.

        Args:
            trainer (chainer.training.Trainer): The trainer.
        """
        if self.comm is not None:
            self.requested = self.comm.allreduce_obj(int(self.requested)) > 0
        return self.requested or trainer.updater.epoch >= self.n_epochs

    def get_training_length(self):
        """Tell ``ProgressBar`` how long it will take: (int, str)."""
        return self.n_epochs, "epoch"

    @contextlib.contextmanager
    def at_signal(self):
        """Listen to the signals while the block runs, which should save what there is at its end."""

        def request(number, frame):
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            self.requested = True

        before = {number: signal.signal(number, request) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
