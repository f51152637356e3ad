"""Cut-outs of other images, pasted into an image."""

from collections.abc import Sequence

import numpy as np

from chainfpn._attributes import Checked
from chainfpn._typing import Array, Labels, Size
from chainfpn.datasets._files import DataError
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.transforms import RandomTransform
from chainfpn.functions import resize_bilinear

#: What gets a shorter side than this many pixels is not pasted.
_MIN_SIDE = 12
#: What would hide more than this part of a box is put somewhere else, in so many tries.
_MAX_HIDDEN = 0.3
_N_TRIES = 10


class RandomPaste(RandomTransform):
    """Cut objects out of other images along their masks, and paste them into an image at a random place and size.

    A pasted object whose name is among the labels of the examples gets a box, and a mask if they have masks; any other
    is a distractor, which belongs to the background. Other masks lose the pixels that it covers; boxes stay, since at
    least 70 % of each remains visible. An image that cannot be read is not cut from.

    Args:
        sources (sequence of DetectionDataset): What is cut from; each must have ``mask`` among its available keys.
        label_names (sequence of str): Names of the labels of the examples, which are
            ``(img, bbox, label)`` or ``(img, bbox, label, mask)``.
        probability (float): How often anything is pasted.
        max_objects (int): Most cut-outs at a time; each number from 1 is as likely as the others.
        scales (float, float): Range of the factor that an object grows by, drawn on a logarithmic scale.

    Raises:
        ValueError: if there is no source, one has no masks, or a number is out of range.

    Source:
        Ghiasi et al. 2021, "Simple Copy-Paste", section 3; the number of objects and the distractors are ours.
    """

    sources = Checked(
        "data sets that have masks", lambda value: value and all("mask" in source.available_keys for source in value)
    )
    max_objects = Checked(">= 1", lambda value: value >= 1)
    scales = Checked("> 0 and ascend", lambda value: 0 < value[0] <= value[1])

    def __init__(
        self,
        sources: Sequence[DetectionDataset],
        label_names: Labels,
        *,
        probability: float = 0.5,
        max_objects: int = 3,
        scales: tuple[float, float] = (0.5, 2),
    ) -> None:
        self.sources, self.label_names = sources, tuple(label_names)
        self.probability, self.max_objects, self.scales = probability, max_objects, scales

    def _transform(self, example: tuple) -> tuple:
        for _ in range(np.random.randint(self.max_objects) + 1):
            cutout = self._cut(example[0].shape[1:])
            if cutout is not None:
                example = _paste(example, *cutout)
        return example

    def _cut(self, limits: Size) -> tuple[Array, Array, int | None] | None:
        """Cut an object out of a random image; return None if there is none or it is too small.

        Args:
            limits (int, int): Largest height and width.

        Returns:
            (array, array, int or None): float32, (3, h, w); bool, (h, w); and the label that it has in the examples.
        """
        ends = np.cumsum([len(source) for source in self.sources])
        i = np.random.randint(ends[-1])
        chosen, growth = np.random.rand(), np.exp(np.random.uniform(*np.log(self.scales)))
        k = int(np.searchsorted(ends, i, side="right"))
        source = self.sources[k]
        try:
            img, label, masks = source.read(i - ends[k], ("img", "label", "mask"))  # counted from the end
        except DataError:
            return None  # ValidatedDataset reports it
        if not len(label):
            return None
        n = int(chosen * len(label))
        rows, columns = (np.flatnonzero(masks[n].any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        ys, xs = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        piece, mask = img[:, ys, xs], masks[n, ys, xs]
        growth = min(growth, *(limit / side for limit, side in zip(limits, mask.shape, strict=True)))
        height, width = (int(side * growth) for side in mask.shape)
        if min(height, width) < _MIN_SIDE:
            return None
        layers = np.concatenate((piece, mask[None].astype(np.float32)))  # (4, h, w)
        layers = resize_bilinear(layers[None], (height, width)).array[0]
        name = source.label_names[label[n]]
        return layers[:3], layers[3] > 0.5, self.label_names.index(name) if name in self.label_names else None


def _paste(example: tuple, piece: Array, mask: Array, new_label: int | None) -> tuple:
    """Put a cut-out somewhere into an example."""
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


def _find_place(bbox: Array, limits: Size, size: Size) -> tuple[int, ...] | None:
    """Draw the upper left corner of a place where no box is hidden too much; return None if none was found."""
    for _ in range(_N_TRIES):
        place = np.array([np.random.randint(limit - side + 1) for limit, side in zip(limits, size, strict=True)])
        common = np.minimum(place + size, bbox[:, 2:]) - np.maximum(place, bbox[:, :2])
        hidden = np.maximum(common, 0).prod(axis=1)
        if (hidden <= _MAX_HIDDEN * (bbox[:, 2:] - bbox[:, :2]).prod(axis=1)).all():
            return tuple(map(int, place))
    return None
