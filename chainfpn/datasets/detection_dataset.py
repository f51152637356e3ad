"""Base of every data set of images with boxes."""

import contextlib
import operator
import pathlib
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any

import numpy as np
from chainercv.chainer_experimental.datasets.sliceable import GetterDataset

from chainfpn._typing import Array, PathLike, Size
from chainfpn.datasets._files import DataError
from chainfpn.datasets._left_out import LeftOut
from chainfpn.datasets._orientation import read_header, turn_boxes, turn_masks, turn_points, turned_size
from chainfpn.images import ImageError, read_image, to_array

#: Key, index of its getter, and its place in what the getter returns, None if that is the value itself.
_Entry = tuple[str, int, int | None]
#: What is turned with its image.
_TURNED = {"bbox": turn_boxes, "mask": turn_masks, "point": turn_points}


class DetectionDataset(GetterDataset):
    """Base of the data sets of images with boxes.

    An example is a tuple of what :attr:`keys` names; nothing is read but what is asked for. Every data set has

    * ``img``: float32, (3, H, W), RGB, 0..255, upright, as its EXIF orientation says.
    * ``bbox``: float32, (R, 4), yxyx in pixels.
    * ``label``: int32, (R,), from 0.

    and some have ``mask``: bool, (R, H, W); ``point``: float32, (R, K, 2), yx in pixels, and ``visible``: bool, (R, K);
    ``area``: float32, (R,), in square pixels; ``crowded`` or ``difficult``: bool, (R,), ground truth that a detector
    is neither rewarded nor blamed for. Boxes are what the annotation says, good or bad;
    :class:`~chainfpn.datasets.ValidatedDataset` sorts them out. An object that cannot be understood is left out by
    the reader, and :attr:`left_out` has the reason.

    Annotations count the pixels as they are stored, unless their size is that of the upright image only; boxes, masks
    and keypoints are turned with their image. An image of neither size raises a :class:`DataError`.

    Args:
        files (sequence of str or os.PathLike): Image of each example.
        label_names (sequence of str): Names of the labels.

    Attributes:
        label_names (tuple of str): Names of the labels.
        keypoint_names (tuple of str): Names of the K keypoints, empty where there is no ``point``.
        left_out (LeftOut): Objects and images that the reader left out so far: ``counts`` by reason, ``omissions``.
    """

    #: What an example has unless :attr:`keys` is set.
    DEFAULT_KEYS = ("img", "bbox", "label")
    keypoint_names: tuple[str, ...] = ()

    def __init__(self, files: Iterable[PathLike], label_names: Iterable[str]) -> None:
        super().__init__()
        self._all_keys: list[_Entry] = []
        self._files = [pathlib.Path(file) for file in files]
        self._headers: dict[int, tuple[Size, int]] = {}
        self._sizes: Sequence[Size | None] = [None] * len(self._files)  # as annotated
        self._left_out = LeftOut()
        self.label_names = tuple(label_names)
        self.add_getter("img", self.get_image)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def available_keys(self) -> tuple[str, ...]:
        """Everything that :attr:`keys` may name: tuple of str."""
        return tuple(key for key, _, _ in self._all_keys)

    @property
    def left_out(self) -> LeftOut:
        """What the reader left out so far: LeftOut."""
        return self._left_out

    @property
    def keys(self) -> str | tuple[str, ...]:
        """What an example has: tuple of str, or str; set it to choose others of :attr:`available_keys`."""
        return GetterDataset.keys.fget(self)

    @keys.setter
    def keys(self, keys: str | Sequence[str]) -> None:
        self._return_tuple = not isinstance(keys, str)
        self._keys = self._entries([keys] if isinstance(keys, str) else keys)

    def add_getter(self, keys: str | Sequence[str], getter: Callable[[int], Any] | None) -> None:
        """Register a getter; see ChainerCV's ``GetterDataset``."""
        n = len(self._keys)
        super().add_getter(keys, getter)
        self._all_keys += self._keys[n:]

    def get_example_by_keys(self, index: int, key_indices: Sequence[int]) -> tuple:
        """Read something of an example; see ChainerCV's ``SliceableDataset``."""
        return self.read(index, [self._keys[k][0] for k in key_indices])

    def read(self, i: int, keys: Sequence[str]) -> tuple:
        """Read something of an example, whatever :attr:`keys` says now; several threads may.

        Args:
            i (int): Index of the example.
            keys (sequence of str): Among :attr:`available_keys`.

        Returns:
            tuple: A value for each key.

        Raises:
            DataError: if a file is broken.
            IndexError: if there is no such example.
            ValueError: if there is no such key.
        """
        return self._read(normalize_index(self, i), self._entries(keys))

    def _read(self, i: int, entries: list[_Entry]) -> tuple:
        """Call the getters, each once, and turn boxes and masks with their image."""
        got = {getter: self._getters[getter](i) for getter in dict.fromkeys(getter for _, getter, _ in entries)}
        values = {key: got[getter] if place is None else got[getter][place] for key, getter, place in entries}
        turned = values.keys() & _TURNED.keys()
        if turned:
            with contextlib.suppress(DataError):  # of the image, which was not asked for
                size, orientation = self._frame(i)
                if orientation != 1:
                    values.update({key: _TURNED[key](values[key], size, orientation) for key in turned})
        return tuple(values[key] for key, _, _ in entries)

    def _entries(self, keys: Sequence[str]) -> list[_Entry]:
        known = {entry[0]: entry for entry in self._all_keys}
        try:
            return [known[key] for key in keys]
        except KeyError as error:
            raise ValueError(f"{type(self).__name__}: keys must be among {', '.join(known)}, got {error}") from None

    def file_name(self, i: int) -> str:
        """Return the path of an example's image, for messages.

        Args:
            i (int): Index of the example.

        Returns:
            str: The path.
        """
        return str(self._files[i])

    def size(self, i: int) -> Size:
        """Return the size of an image, turned upright, without reading its pixels.

        Args:
            i (int): Index of the example.

        Returns:
            (int, int): Height and width.

        Raises:
            DataError: if the file is not an image, or not of the size that the annotation says.
        """
        return turned_size(*self._frame(i))

    def annotated_size(self, i: int) -> Size | None:
        """Return the size of an image as its annotation has it.

        Args:
            i (int): Index of the example.

        Returns:
            (int, int) or None: Height and width; None if it does not say.
        """
        return self._sizes[i]

    def get_image(self, i: int) -> Array:
        """Read an image.

        Args:
            i (int): Index of the example, from 0.

        Returns:
            array: float32, (3, H, W), RGB, 0..255.

        Raises:
            DataError: if the file is not there or not an image, or not of the size that the annotation says.
        """
        self._frame(i)
        try:
            upright = self._header(i)[1] != 1
            return np.ascontiguousarray(to_array(read_image(self._files[i], upright=upright)))
        except ImageError as error:
            raise DataError(str(error), reason="images that cannot be read") from None

    def _header(self, i: int) -> tuple[Size, int]:
        """Return the size of an image as stored, and its orientation, which are read once."""
        if i not in self._headers:
            self._headers[i] = read_header(self._files[i])
        return self._headers[i]

    def _frame(self, i: int) -> tuple[Size, int]:
        """Return the height and width in which annotations count pixels, and the orientation to turn them by."""
        stored, orientation = self._header(i)
        annotated = self.annotated_size(i)
        if annotated in (None, stored):
            return stored, orientation
        if annotated == turned_size(stored, orientation):
            return annotated, 1
        size, reason = "x".join(map(str, annotated)), "images of another size than annotated"
        message = f"{self._files[i]}: must be {size} pixels high and wide as annotated, got {stored}"
        raise DataError(message, reason=reason)


def normalize_index(dataset: Sized, i: int) -> int:
    """Return an index that may count from the end, as -1 does, as one from the start; an IndexError beyond both."""
    n, index = len(dataset), operator.index(i)
    if not -n <= index < n:
        raise IndexError(f"{type(dataset).__name__}: index must be in -{n}..{n - 1}, got {i}")
    return index % n
