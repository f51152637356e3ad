"""Curves of losses and average precision."""

import pathlib

import chainer

from chainfpn._typing import PathLike
from chainfpn.training._plot import Plot, write_curves


class PlotMetrics(Plot):
    """Draw ``losses.png`` and ``ap.png`` from the trainer's log, at most every ten seconds, and at the end.

    Args:
        out (str or os.PathLike): The folder.
        log_report (str): Name of the trainer's ``LogReport``.

    Raises:
        ImportError: if matplotlib is not installed.
    """

    name = "PlotMetrics"

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
    names = {name for entry in log for name in entry if name.startswith(prefix)}
    classes = [name for name in names if "/ap/" in name]
    if len(classes) == 1:  # which is the mean, too
        names -= {*classes}
    curves: dict[str, tuple] = {}
    for name in sorted(names, key=lambda name: (name.count("/"), name)):
        points = [(entry["epoch"], entry[name]) for entry in log if name in entry]
        curves[name.removeprefix("validation/").removeprefix("main/")] = tuple(zip(*points, strict=True))
    write_curves(path, curves, xlabel="epoch", ylabel=title, ylim=(0, top))
