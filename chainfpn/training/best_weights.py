"""The last and the best weights of a training, as files with their metadata."""

import math
import pathlib

import chainer
from chainer.training import extension

from chainfpn._typing import PathLike
from chainfpn.serialization import save_weights


class BestWeights(extension.Extension):
    """Write ``last.npz`` whenever it is triggered, and ``best.npz`` when a figure is higher than ever before.

    Args:
        model (chainfpn.links.Detector): The detector.
        out (str or os.PathLike): The folder.
        key (str): Name of the observation that is compared, such as ``'validation/main/map'``.
        meta (dict or None): More entries of ``__meta__``; see :func:`chainfpn.save_weights`.

    Attributes:
        best (float): The highest figure so far.
    """

    trigger = 1, "epoch"
    priority = -50  # after the evaluation, before the snapshot

    def __init__(self, model: chainer.Link, out: PathLike, *, key: str, meta: dict | None = None) -> None:
        self.model, self.out, self.key, self.meta = model, out, key, meta
        self.best = float("-inf")

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Write the files.

        Args:
            trainer (chainer.training.Trainer): Its observation may have the figure; one that is not finite is no
                figure.

        Raises:
            ValueError: if a file cannot be written, or ``meta`` is not JSON.
        """
        figure = float(trainer.observation.get(self.key, "nan"))
        updater, out = trainer.updater, pathlib.Path(self.out)
        training = {**(self.meta or {}), "epoch": updater.epoch, "iteration": updater.iteration}
        if math.isfinite(figure):
            training[self.key.rpartition("/")[2]] = figure
        save_weights(out / "last.npz", self.model, meta={"training": training})
        if math.isfinite(figure) and figure > self.best:
            self.best = figure
            save_weights(out / "best.npz", self.model, meta={"training": training})

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write or read the highest figure so far.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        self.best = float(serializer("best", self.best))
