"""Precision over recall of the last evaluation."""

import pathlib

import chainer
from chainer.training import extension

from chainfpn._typing import PathLike
from chainfpn.training.evaluator import DetectionEvaluator, Evaluation


class PlotPrecisionRecall(extension.Extension):
    """Draw ``pr.png`` from what an evaluator has found last.

    Args:
        evaluator (DetectionEvaluator): The evaluator.
        out (str or os.PathLike): The folder.

    Raises:
        ImportError: if matplotlib is not installed.
    """

    name = "PlotPrecisionRecall"
    trigger = 1, "epoch"
    priority = -60  # after the evaluation

    def __init__(self, evaluator: DetectionEvaluator, out: PathLike) -> None:
        import matplotlib.figure  # noqa: F401  (raises now, not after the first epoch)

        self.evaluator, self.out = evaluator, pathlib.Path(out)

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Draw.

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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from weights_convert import atomic_write

    curves = evaluation.precision_recall()
    if not curves:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, (precision, recall) in curves.items():
        axes.plot(recall, precision, marker=".", label=name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="IoU 0.5")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
