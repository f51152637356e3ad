"""How often images of rare classes come."""

from collections import Counter

import numpy as np

from chainfpn._typing import Array
from chainfpn.datasets._files import DataError
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.validated import ValidatedDataset


def repeat_factors(data: DetectionDataset | ValidatedDataset, threshold: float) -> Array:
    """Compute how often each image comes in a round, so that those of rare classes come more often.

    A class that a share f of the images have is repeated max(1, sqrt(threshold / f)) times, and an image as often as
    its rarest class.

    Args:
        data (DetectionDataset or ValidatedDataset): The data.
        threshold (float): Share of the images below which a class is rare.

    Returns:
        array: float64, (number of examples,), >= 1.

    Source:
        Gupta et al. 2019, LVIS, appendix B; detectron2 ``RepeatFactorTrainingSampler``.
    """
    labels = [_labels(data, i) for i in range(len(data))]
    n_images = Counter(label for one in labels for label in one)
    factors = {label: max(1.0, np.sqrt(threshold * len(labels) / n)) for label, n in n_images.items()}
    return np.array([max((factors[label] for label in one), default=1.0) for one in labels])


def _labels(data: DetectionDataset | ValidatedDataset, i: int) -> set[int]:
    """Return the labels of an example, none if it is broken."""
    source = data.dataset if isinstance(data, ValidatedDataset) else data
    try:
        (label,) = source.read(i, ["label"])
    except DataError:
        return set()
    return set(map(int, label))
