"""Curves of losses and average precision."""

import pathlib

import chainer
from chainer.training import extension

from chainfpn._typing import PathLike


class PlotMetrics(extension.Extension):
    """Draw ``losses.png`` and ``ap.png`` from the trainer's log.

    Args:
        out (str or os.PathLike): The folder.
        log_report (str): Name of the trainer's ``LogReport``.

    Raises:
        ImportError: if matplotlib is not installed.
    """

    name = "PlotMetrics"
    trigger = 1, "epoch"
    priority = -60  # after the log

    def __init__(self, out: PathLike, *, log_report: str = "LogReport") -> None:
        import matplotlib.figure  # noqa: F401  (raises now, not after the first epoch)

        self.out, self.log_report = out, log_report

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Draw.

        Args:
            trainer (chainer.training.Trainer): Has a ``LogReport``.

        Raises:
            ValueError: if the trainer has no extension of that name, or a file cannot be written.
        """
        log = trainer.get_extension(self.log_report).log
        out = pathlib.Path(self.out)
        draw_curves(log, "main/loss", out / "losses.png", title="loss")
        draw_curves(log, "validation/main/", out / "ap.png", title="average precision", top=1)


def draw_curves(log: list[dict], prefix: str, path: PathLike, *, title: str, top: float | None = None) -> None:
    """Draw every figure of a log whose name begins with a prefix, over the epochs.

    Args:
        log (list of dict): What ``LogReport`` wrote: figures by name, and ``epoch``.
        prefix (str): Beginning of the names.
        path (str or os.PathLike): The PNG; no file is written where the log has no such figure.
        title (str): What the figures are.
        top (float or None): Upper end of the axis, which begins at 0.

    Raises:
        ValueError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from weights_convert import atomic_write

    names = sorted({name for entry in log for name in entry if name.startswith(prefix)})
    if not names:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in names:
        points = [(entry["epoch"], entry[name]) for entry in log if name in entry]
        axes.plot(*zip(*points, strict=True), marker=".", label=name.removeprefix("validation/").removeprefix("main/"))
    axes.set(xlabel="epoch", ylabel=title, ylim=(0, top))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
