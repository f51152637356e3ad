"""Objects of other images, put into an image."""

import numpy as np

from chainfpn.datasets.detection_dataset import DataError
from chainfpn.functions import resize_bilinear

#: What gets a shorter side than this many pixels is not pasted.
_MIN_SIDE = 12
#: What would hide more than this part of another object is put somewhere else, in so many tries.
_MAX_HIDDEN = 0.3
_N_TRIES = 10


class RandomPaste:
    """Cut objects out of other images along their masks, and put them into an image at a random place and size.

    An object whose name is among the labels of the examples gets a box, and a mask if they have masks; any other is
    something that must not be taken for one. What is covered goes from the other masks; boxes stay, since at least 70 %
    of each remains to be seen. An image that cannot be read is not cut from.

    Args:
        sources (sequence of DetectionDataset): What is cut from; each must have ``mask`` among its available keys.
        label_names (sequence of str): Names of the labels of the examples, which are
            ``(img, bbox, label)`` or ``(img, bbox, label, mask)``.
        probability (float): How often anything is pasted.
        max_objects (int): Most objects at a time; each number from 1 is as likely as the others.
        scales (float, float): Range of the factor that an object grows by, drawn on a logarithmic scale.

    Raises:
        ValueError: if there is no source, one has no masks, or a number is out of range.

    Source:
        Ghiasi et al. 2021, "Simple Copy-Paste", section 3; the number of objects and the distractors are ours.
    """

    def __init__(self, sources, label_names, *, probability=0.5, max_objects=3, scales=(0.5, 2)):
        if not sources or not all("mask" in source.available_keys for source in sources):
            raise ValueError(f"RandomPaste: sources must be data sets that have masks, got {sources!r}")
        if not 0 <= probability <= 1:
            raise ValueError(f"RandomPaste: probability must be in 0..1, got {probability!r}")
        if max_objects < 1:
            raise ValueError(f"RandomPaste: max_objects must be >= 1, got {max_objects!r}")
        if not 0 < scales[0] <= scales[1]:
            raise ValueError(f"RandomPaste: scales must be > 0 and ascend, got {scales!r}")
        self.probability = probability
        self.max_objects = max_objects
        self.scales = scales
        labels = {name: label for label, name in enumerate(label_names)}
        self._labels = [[labels.get(name) for name in source.label_names] for source in sources]
        self._sources = sources
        self._images = [(k, i) for k, source in enumerate(sources) for i in range(len(source))]

    def __call__(self, example):
        """Transform an example.

        Args:
            example (tuple): ``(img, bbox, label)`` or ``(img, bbox, label, mask)``.

        Returns:
            tuple: The same, perhaps with more objects.
        """
        if np.random.rand() >= self.probability:
            return example
        for _ in range(np.random.randint(self.max_objects) + 1):
            piece = self._cut(example[0].shape[1:])
            if piece is not None:
                example = _paste(example, *piece)
        return example

    def _cut(self, limits):
        """Cut an object out of a random image; None if there is none or it is too small.

        Args:
            limits (int, int): Largest height and width.

        Returns:
            (array, array, int or None): float32, (3, h, w); bool, (h, w); and the label that it has in the examples.
        """
        k, i = self._images[np.random.randint(len(self._images))]
        chosen, growth = np.random.rand(), np.exp(np.random.uniform(*np.log(self.scales)))
        try:
            img, label, masks = self._sources[k].read(i, ("img", "label", "mask"))
        except DataError:
            return None  # it is reported where it is trained with
        if not len(label):
            return None
        n = int(chosen * len(label))
        ys, xs = (np.flatnonzero(masks[n].any(axis=axis)) for axis in (1, 0))
        if not len(ys):
            return None
        window = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
        piece, mask = img[(slice(None), *window)], masks[n][window]
        growth = min(growth, *(limit / side for limit, side in zip(limits, mask.shape, strict=True)))
        size = tuple(int(side * growth) for side in mask.shape)
        if min(size) < _MIN_SIDE:
            return None
        layers = np.concatenate((piece, mask[None].astype(np.float32)))  # (4, h, w)
        layers = resize_bilinear(layers[None], size).array[0]
        return layers[:3], layers[3] > 0.5, self._labels[k][label[n]]


def _paste(example, piece, mask, new_label):
    """Put a piece somewhere into an example."""
    img, bbox, label, *rest = example
    place = _find_place(bbox, img.shape[1:], mask.shape)
    if place is None or not mask.any():
        return example
    window = tuple(slice(start, start + side) for start, side in zip(place, mask.shape, strict=True))
    img = img.copy()
    whole = np.zeros(img.shape[1:], dtype=bool)
    whole[window] = mask
    img[:, whole] = piece[:, mask]
    rest = [masks & ~whole for masks in rest]
    if new_label is not None:
        bb = np.array([*place, *np.add(place, mask.shape)], dtype=np.float32)
        bbox, label = np.concatenate((bbox, bb[None])), np.append(label, np.int32(new_label))
        rest = [np.concatenate((masks, whole[None])) for masks in rest]
    return img, bbox, label, *rest


def _find_place(bbox, limits, size):
    """Draw a place where no object is hidden too much: (int, int), the upper left corner, or None."""
    for _ in range(_N_TRIES):
        place = np.array([np.random.randint(limit - side + 1) for limit, side in zip(limits, size, strict=True)])
        common = np.minimum(place + size, bbox[:, 2:]) - np.maximum(place, bbox[:, :2])
        hidden = np.maximum(common, 0).prod(axis=1)
        if (hidden <= _MAX_HIDDEN * (bbox[:, 2:] - bbox[:, :2]).prod(axis=1)).all():
            return tuple(map(int, place))
    return None
