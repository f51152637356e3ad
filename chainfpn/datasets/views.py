"""Data sets made of others: some of the examples of one, or several one after the other."""

import operator
from collections.abc import Iterable, Sequence

from chainfpn._attributes import Fixed
from chainfpn._typing import Size
from chainfpn.datasets._left_out import LeftOut
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.errors import InvalidArgument


class _View(DetectionDataset):
    """Examples of other data sets.

    Args:
        places (list of tuple): For each example the data set that it is of, and its index there.
        keys (iterable of str): What is read of them.
    """

    def __init__(self, places: list[tuple[DetectionDataset, int]], keys: Iterable[str], label_names: tuple) -> None:
        super().__init__([dataset.file_name(i) for dataset, i in places], label_names)
        self._places = places
        self._sources = list({id(dataset): dataset for dataset, _ in places}.values())
        names = {dataset.keypoint_names for dataset in self._sources}
        self.keypoint_names = names.pop() if len(names) == 1 else ()
        if not self.keypoint_names:  # nothing that all have
            keys = [key for key in keys if key not in ("point", "visible")]
        for key in keys:
            if key not in self.available_keys:
                self.add_getter(key, None)

    @property
    def left_out(self) -> LeftOut:
        """What the readers left out of all the data sets so far: LeftOut."""
        return LeftOut(dataset.left_out for dataset in self._sources)

    def size(self, i: int) -> Size:
        """Return the size of an image: (int, int)."""
        dataset, k = self._places[i]
        return dataset.size(k)

    def _read(self, i: int, entries: list[tuple]) -> tuple:
        dataset, k = self._places[i]
        return dataset.read(k, [key for key, _, _ in entries])


class Subset(_View):
    """Some of the examples of a data set, in a given order.

    Keys: those of the data set.

    Args:
        dataset (DetectionDataset): The data set.
        indices (sequence of int): Which of its examples.

    Raises:
        IndexError: if there is no such example.
    """

    dataset, indices = Fixed(), Fixed()

    def __init__(self, dataset: DetectionDataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, [operator.index(i) for i in indices]
        super().__init__([(dataset, i) for i in self.indices], dataset.available_keys, dataset.label_names)
        self.keys = dataset.keys


class ConcatDataset(_View):
    """One data set after the other.

    Keys: those that all have.

    Args:
        *datasets (DetectionDataset): At least one, with the same names of labels.

    Raises:
        ValueError: if there is none, or the names differ.
    """

    datasets = Fixed()

    def __init__(self, *datasets: DetectionDataset) -> None:
        if not datasets:
            raise InvalidArgument("ConcatDataset", "datasets", "have at least one entry", datasets, got="none")
        names = datasets[0].label_names
        for dataset in datasets:
            if dataset.label_names != names:
                got = f"{names!r} and {dataset.label_names!r}"
                raise InvalidArgument("ConcatDataset", "datasets", "have the same label names", datasets, got=got)
        self.datasets = datasets
        keys = [key for key in datasets[0].available_keys if all(key in data.available_keys for data in datasets)]
        super().__init__([(data, i) for data in datasets for i in range(len(data))], keys, names)
        self.keys = self.DEFAULT_KEYS
