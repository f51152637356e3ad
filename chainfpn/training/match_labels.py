"""Labels that a detector and a data set have in common."""

import numpy as np

from chainfpn._typing import Array
from chainfpn.datasets import DetectionDataset
from chainfpn.errors import InvalidArgument
from chainfpn.links import Detector
from weights_convert import few


def match_labels(detector: Detector, dataset: DetectionDataset) -> tuple[tuple[str, ...], Array, Array]:
    """Find the labels that a detector and a data set have in common, in the order of the data set.

    Args:
        detector (chainfpn.links.Detector): With ``n_fg_class`` and ``label_names``.
        dataset (DetectionDataset): With ``label_names``.

    Returns:
        tuple: The names, tuple of str; and two arrays int32 from the detector's and the data set's labels to
        indices of the names, -1 where there is none.

    Raises:
        ValueError: if there is none, or the detector knows no names and has another number of labels.
    """
    own, gt = detector.label_names, dataset.label_names
    if own is None:
        n, n_gt = detector.n_fg_class, len(gt)
        if n != n_gt:
            got = f"{n} of the detector and {n_gt} of the data"
            raise InvalidArgument("match_labels", "labels without names", "equally many", (n, n_gt), got=got)
        own = gt
    names = tuple(name for name in gt if name in own)
    if not names:
        got = f"{few(own)} and {few(gt)}"
        raise InvalidArgument("match_labels", "detector and data", "have a label in common", (own, gt), got=got)
    table, gt_table = (np.array([names.index(name) if name in names else -1 for name in side]) for side in (own, gt))
    return names, table.astype(np.int32), gt_table.astype(np.int32)
