"""Several data sets as one."""

import bisect
import itertools

from chainfpn.datasets.detection_dataset import DetectionDataset, from_start


class ConcatDataset(DetectionDataset):
    """One data set after the other.

    Keys: those that all have.

    Args:
        *datasets (DetectionDataset): At least one, with the same names of labels.

    Raises:
        ValueError: if there is none, or the names differ.
    """

    def __init__(self, *datasets):
        if not datasets:
            raise ValueError("ConcatDataset: datasets must have at least one entry, got none")
        for dataset in datasets:
            if dataset.label_names != datasets[0].label_names:
                names = f"{datasets[0].label_names!r} and {dataset.label_names!r}"
                raise ValueError(f"ConcatDataset: datasets must have the same label names, got {names}")
        super().__init__(
            [dataset.file_name(i) for dataset in datasets for i in range(len(dataset))], dataset.label_names
        )
        self.datasets = datasets
        self._ends = list(itertools.accumulate(map(len, datasets)))
        for key in datasets[0].available_keys[1:]:
            if all(key in dataset.available_keys for dataset in datasets):
                self.add_getter(key, None)
        self.keys = self.DEFAULT_KEYS

    def size(self, i):
        """Tell the size of an image: (int, int)."""
        dataset, i = self._locate(from_start(self, i))
        return dataset.size(i)

    def _read(self, i, entries):
        dataset, i = self._locate(i)
        return dataset.read(i, [key for key, _, _ in entries])

    def _locate(self, i):
        """Return the data set that an example is of, and its index there."""
        k = bisect.bisect_right(self._ends, i)
        return self.datasets[k], i - (self._ends[k - 1] if k else 0)
