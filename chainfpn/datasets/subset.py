"""A part of a data set."""

import operator

from chainfpn.datasets.detection_dataset import DetectionDataset


class Subset(DetectionDataset):
    """Some of the examples of a data set, in a given order.

    Keys: those of the data set.

    Args:
        dataset (DetectionDataset): The data set.
        indices (sequence of int): Which of its examples.

    Raises:
        IndexError: if there is no such example.
    """

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, [operator.index(i) for i in indices]
        super().__init__([dataset.file_name(i) for i in self.indices], dataset.label_names)
        for key in dataset.available_keys[1:]:
            self.add_getter(key, None)
        self.keys = dataset.keys

    def size(self, i):
        """Tell the size of an image: (int, int)."""
        return self.dataset.size(self.indices[i])

    def _read(self, i, entries):
        return self.dataset.read(self.indices[i], [key for key, _, _ in entries])
