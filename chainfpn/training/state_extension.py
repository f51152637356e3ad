"""What a trainer's extension is that only has a state."""

from chainer.training import extension


class StateExtension(extension.Extension):
    """Put a state into the trainer's snapshot, and back; do nothing else.

    Subclasses define ``serialize``.
    """

    trigger = 1, "epoch"

    def __call__(self, trainer):
        """Do nothing; the state matters when it is serialized.

        Args:
            trainer (chainer.training.Trainer): The trainer.
        """
