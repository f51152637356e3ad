"""Batches of images of one orientation."""

from collections.abc import Sequence
from typing import Any

import chainer
import numpy as np

from chainfpn._attributes import Fixed
from chainfpn._typing import Array
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.errors import InvalidArgument

#: What the state consists of: attributes without their underscore.
STATE = ("n_returned", "previous_n_returned", "position", "order", "waiting")


class AspectRatioGroupedIterator(chainer.dataset.Iterator):
    """Iterate without end, in batches whose examples are all of one group.

    Images of a batch are padded to one size; if they are all landscape or all portrait, little is padded. The data set
    is gone through in a new random order each time; examples wait until there are enough of their group, some of them
    into the next round. So all batches are full, every example comes as often as the others, and processes with equally
    many examples have equally many batches per epoch.

    Args:
        dataset (chainer.dataset.DatasetMixin): What is iterated over.
        batch_size (int): Examples per batch.
        groups (sequence of int or None): Group of each example, from 0; all of one if None. See
            :func:`orientation_groups`.
        shuffle (bool): Go through the data in random orders.
        random (numpy.random.RandomState or None): What draws them; NumPy's global generator by default.
        repeats (sequence of float or None): How often each example comes in a round, >= 1; what is behind the point is
            drawn, so that 1.5 is once or twice. See :func:`~chainfpn.datasets.repeat_factors`.

    Attributes:
        dataset (chainer.dataset.DatasetMixin): What is iterated over.
        batch_size (int): Examples per batch.
        epoch (int): How often as many examples as the data set has were returned.
        is_new_epoch (bool): Whether the last batch completed an epoch.
        repeat (bool): True.
        indices (array): int, (batch_size,), the examples of the last batch; empty before the first.

    Raises:
        ValueError: if batch_size < 1, the data set is empty, or groups has not one entry per example.
    """

    repeat = True
    dataset, batch_size, groups = Fixed(), Fixed(), Fixed()

    def __init__(
        self,
        dataset: Sequence,
        batch_size: int,
        groups: Array | None = None,
        *,
        shuffle: bool = True,
        random: Any = None,
        repeats: Array | None = None,
    ) -> None:
        name, n = type(self).__name__, len(dataset)
        numbers = np.zeros(n, dtype=int) if groups is None else np.asarray(groups)
        if batch_size < 1:
            raise InvalidArgument(name, "batch_size", ">= 1", batch_size)
        if n == 0:
            raise InvalidArgument(name, "dataset", "have at least one example", dataset, got="none")
        if numbers.shape != (n,) or numbers.min() < 0:
            raise InvalidArgument(name, "groups", f"{n} numbers >= 0", groups, got=f"shape {numbers.shape}")
        self.dataset, self.batch_size, self.groups, self.shuffle = dataset, batch_size, numbers, shuffle
        self.random = np.random.mtrand._rand if random is None else random  # a module cannot be copied
        self.repeats = None if repeats is None else np.asarray(repeats, dtype=np.float64)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.indices = np.zeros(0, dtype=int)
        self._n_returned = 0
        self._previous_n_returned = -1
        self._order = self._new_order()
        self._position = 0
        # examples that wait, by group in the order they came; -1 where there is none
        self._waiting = np.full((self.groups.max() + 1, self.batch_size), -1)

    def __next__(self) -> list:
        return [self.dataset[int(i)] for i in self.advance()]

    def advance(self) -> Array:
        """Go on to the next batch without reading it.

        Returns:
            array: :attr:`indices`.
        """
        self.indices = self._next_indices()
        self._previous_n_returned = self._n_returned
        self._n_returned += self.batch_size
        return self.indices

    @property
    def epoch(self) -> int:
        """How often as many examples as the data set has were returned: int."""
        return self._n_returned // len(self.dataset)

    @property
    def epoch_detail(self) -> float:
        """Examples returned over examples in the data set: float."""
        return self._n_returned / len(self.dataset)

    @property
    def previous_epoch_detail(self) -> float | None:
        """What ``epoch_detail`` was before the last batch: float, or None before the first."""
        return None if self._previous_n_returned < 0 else self._previous_n_returned / len(self.dataset)

    @property
    def is_new_epoch(self) -> bool:
        """Whether the last batch completed an epoch: bool."""
        return 0 <= self._previous_n_returned // len(self.dataset) < self.epoch

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Save the state, or restore it so that the same batches follow.

        Args:
            serializer (chainer.AbstractSerializer): Where to or from.

        Raises:
            ValueError: if what is restored is of another data set or batch size.
        """
        reading = isinstance(serializer, chainer.Deserializer)
        *counts, order, waiting = (serializer(name, None if reading else getattr(self, f"_{name}")) for name in STATE)
        if not reading:
            return
        if not self._fits(order, waiting):
            rule = f"that of an iterator over the same data and groups, with a batch_size of {self.batch_size}"
            raise ValueError(f"AspectRatioGroupedIterator: the state must be {rule}")
        self._n_returned, self._previous_n_returned, self._position = map(int, counts)
        self._order, self._waiting = order, waiting

    def _fits(self, order: Array, waiting: Array) -> bool:
        """Return whether a state has every example once in its order, and those that wait at their places."""
        n = len(self.dataset)
        if waiting.shape != self._waiting.shape or waiting.max() >= n:
            return False
        groups, places = np.nonzero(waiting >= 0)
        right = (self.groups[waiting[groups, places]] == groups).all()
        each = np.unique(order) if self.repeats is not None else np.sort(order)
        return right and np.array_equal(each, np.arange(n))

    def _new_order(self) -> Array:
        order = np.arange(len(self.dataset))
        if self.repeats is not None:
            order = np.repeat(order, (self.repeats + self.random.rand(len(order))).astype(int))
        return self.random.permutation(order) if self.shuffle else order

    def _next_indices(self) -> Array:
        """Return the indices of the batch that is full next: (batch_size,)."""
        while True:
            if self._position == len(self._order):
                self._order, self._position = self._new_order(), 0
            i = self._order[self._position]
            self._position += 1
            waiting = self._waiting[self.groups[i]]
            n = np.count_nonzero(waiting >= 0)
            waiting[n] = i
            if n + 1 == self.batch_size:
                indices = waiting.copy()
                waiting[:] = -1
                return indices


def orientation_groups(dataset: DetectionDataset) -> Array:
    """Return the orientation of each image, without reading pixels.

    Args:
        dataset (DetectionDataset): Or anything else with ``size``.

    Returns:
        array: int, (number of examples,): 0 for landscape and square, 1 for portrait.
    """
    sizes = np.array([dataset.size(i) for i in range(len(dataset))]).reshape(-1, 2)
    return (sizes[:, 0] > sizes[:, 1]).astype(int)
