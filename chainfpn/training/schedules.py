"""Learning rates as functions of the iteration, and the extension that sets them."""

import bisect
import functools
import math
from collections.abc import Callable, Sequence

import chainer
from chainer.training import extension

#: Number of updates done to learning rate.
Schedule = Callable[[int], float]


def step_schedule(lr: float, milestones: Sequence[int], *, gamma: float = 0.1) -> Schedule:
    """Fall by a factor at each milestone.

    Args:
        lr (float): Learning rate at the start.
        milestones (sequence of int): Iterations at which it falls, ascending.
        gamma (float): The factor.

    Returns:
        callable: Number of updates done to learning rate.

    Source:
        PyTorch 1.13 ``MultiStepLR``.

    Example:
        >>> schedule = step_schedule(0.5, [10, 20])
        >>> [round(schedule(i), 6) for i in (0, 9, 10, 25)]
        [0.5, 0.5, 0.05, 0.005]
    """
    return functools.partial(_step, lr, list(milestones), gamma)


def _step(lr, milestones, gamma, iteration):
    return lr * gamma ** bisect.bisect_right(milestones, iteration)


def cosine_schedule(lr: float, n_iterations: int, *, final: float = 0.0) -> Schedule:
    """Fall along half a cosine.

    Args:
        lr (float): Learning rate at the start.
        n_iterations (int): Updates until the end is reached.
        final (float): What is left at the end, as a share of ``lr``.

    Returns:
        callable: Number of updates done to learning rate.

    Source:
        Loshchilov and Hutter 2017, equation 5, without restarts.

    Example:
        >>> schedule = cosine_schedule(1.0, 100, final=0.5)
        >>> [round(schedule(i), 6) for i in (0, 50, 100, 200)]
        [1.0, 0.75, 0.5, 0.5]
    """
    return functools.partial(_cosine, lr, n_iterations, final)


def _cosine(lr, n_iterations, final, iteration):
    done = min(iteration / n_iterations, 1.0)
    return lr * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))


def warm_up(schedule: Schedule, n_iterations: int, *, start: float = 1e-3) -> Schedule:
    """Rise linearly to the learning rate of another schedule.

    Args:
        schedule (callable): Number of updates done to learning rate.
        n_iterations (int): Updates until the other schedule holds; 0 for none.
        start (float): Share of it at the start.

    Returns:
        callable: Number of updates done to learning rate.

    Source:
        Goyal et al. 2017, section 2.2; torchvision 0.14 ``references/detection/engine.py`` (the start).

    Example:
        >>> schedule = warm_up(lambda iteration: 1.0, 10, start=0.5)
        >>> [schedule(i) for i in (0, 5, 10, 20)]
        [0.5, 0.75, 1.0, 1.0]
    """
    return functools.partial(_warm, schedule, n_iterations, start)


def _warm(schedule, n_iterations, start, iteration):
    done = min(iteration / n_iterations, 1.0) if n_iterations else 1.0
    return schedule(iteration) * (start + (1 - start) * done)


class LearningRate(extension.Extension):
    """Set the learning rate before every update, as a function of the updates done.

    It has no state of its own: a training that is resumed goes on where it was. Adam's ``alpha`` stays, and ``eta`` is
    set, which multiplies both its step and its weight decay.

    Args:
        schedule (callable): Number of updates done to learning rate.
        optimizer (chainer.Optimizer or None): Whose ``lr`` is set; the updater's main one by default.
    """

    def __init__(self, schedule: Schedule, optimizer: chainer.Optimizer | None = None) -> None:
        self.schedule, self.optimizer = schedule, optimizer

    def initialize(self, trainer: chainer.training.Trainer) -> None:
        """Set the rate of the first update."""
        self(trainer)

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Set the rate of the next update."""
        optimizer = self.optimizer or trainer.updater.get_optimizer("main")
        rate = self.schedule(trainer.updater.iteration)
        if hasattr(optimizer, "alpha"):
            optimizer.eta = rate / optimizer.alpha if optimizer.alpha else 1.0
        else:
            optimizer.lr = rate
