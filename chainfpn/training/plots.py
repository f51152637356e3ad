"""Curves in files, and the extensions that draw them, not more often than anybody looks at them."""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import chainer
from chainer.training import extension

from chainfpn._typing import PathLike
from chainfpn.training.evaluation import Evaluation
from chainfpn.training.evaluator import DetectionEvaluator

#: Seconds between two drawings, which take one themselves.
_SECONDS = 10
#: The legend has no room for more names, nor for longer ones.
_MAX_NAMES, _MAX_LETTERS = 18, 20

#: A curve of more points is a line without dots.
_MAX_MARKERS = 50


class Plot(extension.Extension):
    """Base of the extensions that draw: at most every ten seconds, and at the end.

    Raises:
        ImportError: if matplotlib is not installed.
    """

    trigger = 1, "epoch"
    priority = -60  # after the log and the evaluation

    def __init__(self) -> None:
        import matplotlib.figure  # noqa: F401  (raises now, not after the first epoch)

        self._last = -float("inf")
        self._waits: chainer.training.Trainer | None = None

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Draw, unless that was done just now.

        Args:
            trainer (chainer.training.Trainer): What is drawn.

        Raises:
            ValueError: if a file cannot be written.
        """
        self._waits = trainer
        if time.monotonic() - self._last >= _SECONDS:
            self.finalize()
            self._last = time.monotonic()

    def finalize(self) -> None:
        """Draw what was not drawn yet."""
        if self._waits is not None:
            self.draw(self._waits)
        self._waits = None

    def draw(self, trainer: chainer.training.Trainer) -> None:
        """Draw.

        Args:
            trainer (chainer.training.Trainer): What is drawn.
        """
        raise NotImplementedError


def write_curves(
    path: PathLike, curves: Mapping[str, tuple[Sequence, Sequence]], *, n_totals: int = 0, **axes: Any
) -> None:
    """Draw curves into a PNG.

    Args:
        path (str or os.PathLike): The file; none is written if there is no curve.
        curves (mapping): Name to x and y; of many the first have names in the legend, the others are grey.
        n_totals (int): So many of the first are black, so that a class has the same colour in pictures without them.
        **axes: As Matplotlib's ``Axes.set`` takes it: ``xlabel``, ``ylim``, ...

    Raises:
        ValueError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from weights_convert import atomic_write

    if not curves:
        return
    figure = Figure(figsize=(8, 4))
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    for i, (name, (x, y)) in reversed(list(enumerate(curves.items()))):  # the first on top
        label = name if len(name) <= _MAX_LETTERS else f"{name[: _MAX_LETTERS - 1]}…"
        k = i - n_totals
        style: dict[str, Any] = {"label": label, "color": f"C{k % 10}", "linestyle": "-" if k < 10 else "--"}
        style |= {"color": "black", "linestyle": (0, (3, i))} if k < 0 else {}
        style = style if i < _MAX_NAMES else {"color": "0.8", "linewidth": 0.8}
        plot.plot(x, y, marker="." if len(x) <= _MAX_MARKERS else None, **style)
    plot.set(**axes)
    if "xlim" not in axes:  # of epochs
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    plot.grid(alpha=0.3)
    handles, labels = plot.get_legend_handles_labels()
    plot.legend(handles[::-1], labels[::-1], fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.02))
    figure.subplots_adjust(left=0.08, right=0.77, bottom=0.13, top=0.92)  # as a layout engine takes half the time
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


class PlotMetrics(Plot):
    """Draw ``losses.png`` and ``ap.png`` from the trainer's log, at most every ten seconds, and at the end.

    Args:
        out (str or os.PathLike): The folder.
        log_report (str): Name of the trainer's ``LogReport``.

    Raises:
        ImportError: if matplotlib is not installed.
    """

    def __init__(self, out: PathLike, *, log_report: str = "LogReport") -> None:
        super().__init__()
        self.out, self.log_report = out, log_report

    def draw(self, trainer: chainer.training.Trainer) -> None:
        """Draw both files now.

        Args:
            trainer (chainer.training.Trainer): Has a ``LogReport``.

        Raises:
            ValueError: if the trainer has no extension of that name, or a file cannot be written.
        """
        log = trainer.get_extension(self.log_report).log
        out = pathlib.Path(self.out)
        _draw(log, "main/loss", out / "losses.png", title="loss")
        _draw(log, "validation/main/", out / "ap.png", title="average precision", top=1.02)


def _draw(log: list[dict], prefix: str, path: PathLike, *, title: str, top: float | None = None) -> None:
    """Draw every figure of a log whose name begins with a prefix over the epochs; ``map`` and the whole loss first."""
    names = dict.fromkeys(name for entry in log for name in entry if name.startswith(prefix))
    classes = [name for name in names if "/ap/" in name]
    if len(classes) == 1:  # which is the mean, too
        del names[classes[0]]
    depth = min((name.count("/") for name in names), default=0)
    totals = [name for name in names if name.count("/") == depth]
    parts = [name for name in names if name.count("/") > depth]
    curves: dict[str, tuple] = {}
    for name in (*totals, *parts):
        points = [(entry["epoch"], entry[name]) for entry in log if name in entry]
        curves[name.removeprefix("validation/").removeprefix("main/")] = tuple(zip(*points, strict=True))
    write_curves(path, curves, n_totals=len(totals), xlabel="epoch", ylabel=title, ylim=(0, top))


class PlotPrecisionRecall(Plot):
    """Draw ``pr.png`` from what an evaluator has found last, at most every ten seconds, and at the end.

    Args:
        evaluator (DetectionEvaluator): The evaluator.
        out (str or os.PathLike): The folder.

    Raises:
        ImportError: if matplotlib is not installed.
    """

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
    limits: dict[str, Any] = {"xlim": (0, 1), "ylim": (0, 1.02)}
    write_curves(path, curves, xlabel="recall", ylabel="precision", title="IoU 0.5", **limits)
