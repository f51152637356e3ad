"""The last and the best weights of a training, as files that say what they are."""

import math
import pathlib

from chainer.training import extension

from chainfpn.serialization import save_weights


class BestWeights(extension.Extension):
    """Write ``last.npz`` whenever it is triggered, and ``best.npz`` when a figure is higher than ever before.

    Args:
        model (chainfpn.links.Detector): The detector.
        out (str or os.PathLike): The folder.
        key (str): Name of the observation that tells the best, such as ``'validation/main/map'``.
        meta (dict or None): More entries of ``__meta__``; see :func:`chainfpn.save_weights`.

    Attributes:
        best (float): The highest figure so far.
    """

    name = "BestWeights"
    trigger = 1, "epoch"
    priority = -50  # after the evaluation, before the snapshot

    def __init__(self, model, out, *, key, meta=None):
        self.model = model
        self.out = pathlib.Path(out)
        self.key = key
        self.meta = {} if meta is None else meta
        self.best = float("-inf")

    def __call__(self, trainer):
        """Write the files.

        Args:
            trainer (chainer.training.Trainer): Its observation may have the figure; one that is not finite is no
                figure.

        Raises:
            ValueError: if a file cannot be written, or ``meta`` is not JSON.
        """
        figure = float(trainer.observation.get(self.key, "nan"))
        known = math.isfinite(figure)
        said = {self.key.rpartition("/")[2]: figure} if known else {}
        training = {**self.meta, "epoch": trainer.updater.epoch, "iteration": trainer.updater.iteration, **said}
        save_weights(self.out / "last.npz", self.model, meta={"training": training})
        if known and figure > self.best:
            self.best = figure
            save_weights(self.out / "best.npz", self.model, meta={"training": training})

    def serialize(self, serializer):
        """Write or read the highest figure so far.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        self.best = float(serializer("best", self.best))
