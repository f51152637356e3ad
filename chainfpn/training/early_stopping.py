"""A training that ends when it no longer becomes better."""

import math

import chainer
from chainer.training import extension


class EarlyStopping(extension.Extension):
    """Count the evaluations since the best one.

    Args:
        key (str): Name of the observation that is compared; an evaluation without it does not count.
        patience (int): How many evaluations may be no better than the best one before.

    Attributes:
        exhausted (bool): Whether there were so many.
    """

    priority = -50  # after the evaluation, before the snapshot

    def __init__(self, key: str, patience: int) -> None:
        self.key, self.patience = key, patience
        self._best, self._n_worse = float("-inf"), 0

    @property
    def exhausted(self) -> bool:
        """Whether there were so many: bool."""
        return self._n_worse >= self.patience

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Compare.

        Args:
            trainer (chainer.training.Trainer): Its observation may have the figure.
        """
        figure = float(trainer.observation.get(self.key, "nan"))
        if math.isnan(figure):
            return
        self._n_worse = 0 if figure > self._best else self._n_worse + 1
        self._best = max(self._best, figure)

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write or read the count.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        self._best = float(serializer("best", self._best))
        self._n_worse = int(serializer("n_worse", self._n_worse))
