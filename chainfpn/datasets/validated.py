"""Data that a training reads without a stop at broken files."""

import sys
from collections import Counter
from collections.abc import Iterable

import chainer
import numpy as np

from chainfpn._attributes import Fixed
from chainfpn._typing import Report, Size
from chainfpn.datasets._files import DataError
from chainfpn.datasets._left_out import LeftOut, Omission
from chainfpn.datasets.detection_dataset import DetectionDataset, normalize_index
from chainfpn.errors import InvalidArgument

_NO_AREA = "boxes without an area within the image"


class ValidatedDataset(chainer.dataset.DatasetMixin):
    """Put the next sound example in the place of a broken one, and drop boxes without an area.

    A batch always has as many examples as were requested, and which ones depends on the indices alone. Boxes that
    reach beyond the image are clipped. Everything that is left out is reported, once; an image that stays in loses the
    box, and its mask and label, only.

    Args:
        dataset (DetectionDataset): With ``img`` and ``bbox`` among its keys.
        report (callable or None): Takes a sentence that begins with the name of the file; by default it is printed
            on stderr.

    Attributes:
        dataset (DetectionDataset): What was given.
        label_names (tuple of str): Names of the labels.
        n_broken_images (int): Examples that were found broken so far.
        n_broken_boxes (int): Boxes that were dropped so far.

    Raises:
        ValueError: if there is no ``img`` or ``bbox`` among the keys.
    """

    dataset = Fixed()

    def __init__(self, dataset: DetectionDataset, report: Report | None = None) -> None:
        if not {"img", "bbox"} <= set(dataset.keys):
            raise InvalidArgument("ValidatedDataset", "dataset.keys", "have img and bbox", dataset.keys)
        self.dataset = dataset
        self.label_names = dataset.label_names
        self.report = report or _print
        self._broken: dict[int, str] = {}
        self._broken_boxes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def keys(self) -> str | tuple[str, ...]:
        """What an example has: tuple of str."""
        return self.dataset.keys

    @property
    def n_broken_images(self) -> int:
        """Number of examples that were found broken so far."""
        return len(self._broken)

    @property
    def n_broken_boxes(self) -> int:
        """Number of boxes that were dropped so far."""
        return sum(self._broken_boxes.values())

    @property
    def left_out(self) -> LeftOut:
        """What the readers left out, and what was found broken so far: LeftOut; its omissions are the readers'."""
        found = LeftOut([self.dataset.left_out])
        found.counts.update(self._broken.values())
        found.counts += Counter({_NO_AREA: self.n_broken_boxes})
        return found

    def get_example(self, i: int) -> tuple:
        """Read an example, or the next one that is sound.

        Args:
            i (int): Index of the example.

        Returns:
            tuple: The example.

        Raises:
            DataError: if there is no sound example at all.
        """
        return self._from(i, lambda k: self._without_bad_boxes(k, self.dataset[k]))

    def size(self, i: int) -> Size:
        """Return the size of the image of an example, or of the next one that is sound.

        Args:
            i (int): Which example.

        Returns:
            (int, int): Height and width.
        """
        return self._from(i, self.dataset.size)

    def file_name(self, i: int) -> str:
        """Return the path of an example's image.

        Args:
            i (int): Which example.

        Returns:
            str: The path.
        """
        return self.dataset.file_name(i)

    def sound_index(self, i: int) -> int:
        """Return which example is read in the place of one: itself, or, once it was found broken, the next one.

        Args:
            i (int): Which example.

        Returns:
            int: Index of the example.
        """
        return self._from(i, lambda k: k)

    def findings(self, indices: Iterable[int], omissions: list[Omission]) -> tuple:
        """Return what another process should know, which has the same data.

        Args:
            indices (iterable of int): The examples that were read since.
            omissions (list of Omission): What was reported since.

        Returns:
            tuple: For :meth:`merge`.
        """
        read = (self.sound_index(int(i)) for i in indices)
        return self._broken, {i: self._broken_boxes[i] for i in read if i in self._broken_boxes}, omissions

    def merge(self, findings: tuple) -> list[Omission]:
        """Know what another process has found.

        Args:
            findings (tuple): What its :meth:`findings` returned.

        Returns:
            list of Omission: What it reported.
        """
        broken, broken_boxes, omissions = findings
        self._broken.update(broken)
        self._broken_boxes.update(broken_boxes)
        return omissions

    def _from(self, i, read):
        """Return what can be read first of examples i, i + 1 and so on, round to i - 1."""
        i = normalize_index(self, i)
        for k in (*range(i, len(self)), *range(i)):
            if k in self._broken:
                continue
            try:
                return read(k)
            except DataError as error:
                self._broken[k] = error.reason
                self.report(error.omission)
        raise DataError(f"{self.file_name(i)}: neither this nor any other example of the data can be read")

    def _without_bad_boxes(self, i: int, example: tuple) -> tuple:
        """Clip the boxes, and drop those that have no area, with all that belongs to them."""
        values = dict(zip(self.keys, example, strict=True))
        height, width = values["img"].shape[1:]
        bbox = np.clip(values["bbox"], 0, np.array([height, width] * 2, dtype=np.float32))
        good = (bbox[:, 2:] > bbox[:, :2]).all(axis=1)  # neither has a box with a coordinate that is no number
        if i not in self._broken_boxes:
            self._broken_boxes[i] = int(np.count_nonzero(~good))
            for bb in values["bbox"][~good]:
                corners = ", ".join(f"{v:g}" for v in bb)
                sentence = f"{self.file_name(i)}: box ({corners}) has no area within the image"
                self.report(Omission(sentence, _NO_AREA))
        values["bbox"] = bbox
        return tuple(value if key == "img" else value[good] for key, value in values.items())


def _print(message: str) -> None:  # which other processes can be given
    print(message, file=sys.stderr)
