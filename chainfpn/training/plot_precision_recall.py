"""Precision over recall of the last evaluation."""

import pathlib

import chainer

from chainfpn._typing import PathLike
from chainfpn.training._plot import Plot, write_curves
from chainfpn.training.evaluation import Evaluation
from chainfpn.training.evaluator import DetectionEvaluator


class PlotPrecisionRecall(Plot):
    """Draw ``pr.png`` from what an evaluator has found last, at most every ten seconds, and at the end.

    Args:
        evaluator (DetectionEvaluator): The evaluator.
        out (str or os.PathLike): The folder.

    Raises:
        ImportError: if matplotlib is not installed.
    """

    name = "PlotPrecisionRecall"

    def __init__(self, evaluator: DetectionEvaluator, out: PathLike) -> None:
        super().__init__()
        self.evaluator, self.out = evaluator, pathlib.Path(out)

    def draw(self, trainer: chainer.training.Trainer) -> None:
        """Draw the file now, unless nothing has been evaluated yet.

        Args:
            trainer (chainer.training.Trainer): Not used.

        Raises:
            ValueError: if the file cannot be written.
        """
        if self.evaluator.evaluation is not None:
            draw_precision_recall(self.evaluator.evaluation, self.out / "pr.png")


def draw_precision_recall(evaluation: Evaluation, path: PathLike) -> None:
    """Draw the precision of each label over its recall, at an IoU of 0.5.

    Args:
        evaluation (Evaluation): Detections and ground truth.
        path (str or os.PathLike): The PNG; no file is written where no label has ground truth.

    Raises:
        ValueError: if the file cannot be written.
    """
    curves = {name: (recall, precision) for name, (precision, recall) in evaluation.precision_recall().items()}
    limits = {"xlim": (0, 1), "ylim": (0, 1.02)}
    write_curves(path, curves, xlabel="recall", ylabel="precision", title="IoU 0.5", **limits)
