"""Curves in a file, and the extension that draws some, not more often than anybody looks at them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import chainer
from chainer.training import extension

from chainfpn._typing import PathLike

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


def write_curves(path: PathLike, curves: Mapping[str, tuple[Sequence, Sequence]], **axes: Any) -> None:
    """Draw curves into a PNG.

    Args:
        path (str or os.PathLike): The file; none is written if there is no curve.
        curves (mapping): Name to x and y; of many the first have names in the legend, the others are grey.
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
        style: dict[str, Any] = {"label": label, "color": f"C{i % 10}", "linestyle": "-" if i < 10 else "--"}
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
