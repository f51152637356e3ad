"""A line about the last few steps of a training: printed, and as JSON."""

import json
import pathlib
import sys
import time
from typing import Any

import chainer
from chainer.backends import cuda
from chainer.training import extension

from chainfpn._typing import PathLike, Report

_GIB = 2**30


class StepLog(extension.Extension):
    """Print a line every few steps, and append it to a file of JSON Lines.

    It has the means of the losses since the last line, the learning rate, images a second, the share of the time that
    steps waited for images, the memory of the GPU, or the process at its most, in GiB, and the seconds that are left.

    Args:
        path (str or os.PathLike): The file; a training that is resumed removes what lies ahead of it.
        every (int): Steps.
        n_images (int): Images of a step, of all processes.
        n_steps (int): Steps of the whole training.
        log (callable): Takes a line.
    """

    def __init__(self, path: PathLike, *, every: int, n_images: int, n_steps: int, log: Report = print) -> None:
        self.path, self.every, self.n_images, self.n_steps, self.log = pathlib.Path(path), every, n_images, n_steps, log
        self._losses: list[dict[str, Any]] = []

    def initialize(self, trainer: chainer.training.Trainer) -> None:
        """Begin to count, and drop the lines of steps that are to come."""
        from weights_convert import atomic_write

        self._begin(trainer)
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _step(line) <= trainer.updater.iteration]
            with atomic_write(self.path) as file:
                file.write("".join(kept).encode())

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Note the losses of a step; print and write a line if it is time.

        Args:
            trainer (chainer.training.Trainer): Has just made a step.
        """
        # what is on a GPU stays there until it is printed: nothing is waited for
        losses = {k: chainer.as_array(v) for k, v in trainer.observation.items() if k.startswith("main/loss")}
        self._losses.append(losses)
        if trainer.updater.iteration % self.every:
            return
        entry = self._entry(trainer)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        minutes, seconds = divmod(round(entry["seconds_left"]), 60)
        self.log(
            f"step {entry['iteration']}/{self.n_steps}  epoch {entry['epoch']:.2f}  loss {entry['main/loss']:.4f}"
            f"  lr {entry['lr']:.3g}  {entry['images_per_second']:.3g} images/s  waiting {entry['waiting']:.0%}"
            f"  {entry['memory']:.1f} GiB  {minutes}:{seconds:02} left"
        )
        self._begin(trainer)

    def _begin(self, trainer: chainer.training.Trainer) -> None:
        self._losses = []
        self._start = time.perf_counter(), getattr(trainer.updater, "seconds_waited", 0.0)

    def _entry(self, trainer: chainer.training.Trainer) -> dict[str, Any]:
        updater, n = trainer.updater, len(self._losses)
        losses = {key: sum(float(step[key]) for step in self._losses) / n for key in self._losses[0]}
        seconds = time.perf_counter() - self._start[0]
        waited = getattr(updater, "seconds_waited", 0.0) - self._start[1]
        optimizer = updater.get_optimizer("main")
        return {
            **{"iteration": updater.iteration, "epoch": updater.epoch_detail, **losses},
            "lr": float(optimizer.eta * optimizer.alpha if hasattr(optimizer, "alpha") else optimizer.lr),
            "images_per_second": n * self.n_images / seconds,
            "waiting": waited / seconds,
            "memory": _memory(updater.device) / _GIB,
            "seconds_left": seconds / n * max(0, self.n_steps - updater.iteration),
        }


def _step(line: str) -> float:
    """Return the step of a line, infinite if it was not written to its end."""
    try:
        return json.loads(line)["iteration"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _memory(device: chainer.backend.Device | None) -> int:
    """Return the bytes that CuPy's pool holds, or those of the process at its most; 0 where that is not known."""
    if isinstance(device, chainer.backend.GpuDevice):
        return cuda.cupy.get_default_memory_pool().total_bytes()
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
