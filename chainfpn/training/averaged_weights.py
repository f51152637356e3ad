"""Weights averaged over the steps of a training."""

import copy

import chainer
import numpy as np
from chainer.training import extension

from chainfpn.errors import InvalidArgument


class AveragedWeights(extension.Extension):
    """Keep an exponential moving average (EMA) of a network's weights, in a copy of the network.

    After step t the average moves by 1 - d towards the weights, d = min(decay, (1 + t) / (10 + t)), so that the first
    steps are soon forgotten. Running statistics are those of the network. The copy is what to evaluate and to save.

    Args:
        model (chainer.Link): The network, not yet set up with an optimizer.
        decay (float): Share of the average that stays, in [0, 1).

    Attributes:
        averaged (chainer.Link): The copy.

    Raises:
        ValueError: if decay is out of its range.

    Source:
        Polyak and Juditsky 1992; TensorFlow's ``ExponentialMovingAverage`` (the first steps).
    """

    priority = extension.PRIORITY_WRITER + 0.5  # before the evaluation, after statistics of processes are averaged

    def __init__(self, model: chainer.Link, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InvalidArgument("AveragedWeights", "decay", "in [0, 1)", decay)
        self.model, self.decay = model, decay
        self.averaged = copy.deepcopy(model)
        self._means = {
            name: param.array.astype(np.promote_types(param.dtype, np.float32))  # in which small steps count
            for name, param in sorted(model.namedparams())
        }

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Move the average.

        Args:
            trainer (chainer.training.Trainer): Has just made a step.
        """
        t = trainer.updater.iteration
        share = 1 - min(self.decay, (1 + t) / (10 + t))
        for name, param in self.model.namedparams():
            self._means[name] += share * (param.array - self._means[name])
        self._set()
        links = dict(self.averaged.namedlinks())
        for path, link in self.model.namedlinks():
            for name in link._persistent:
                setattr(links[path], name, copy.copy(getattr(link, name)))

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write or read the average.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        for name, mean in self._means.items():
            self._means[name] = serializer(f"mean{name}", mean)
        self.averaged.serialize(serializer["averaged"])
        self._set()

    def _set(self) -> None:
        for name, param in self.averaged.namedparams():
            param.array[...] = self._means[name]
