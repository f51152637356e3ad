"""Base of every data set of images with boxes."""

import operator
import pathlib
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any

import numpy as np
from chainercv.chainer_experimental.datasets.sliceable import GetterDataset
from PIL import Image

from chainfpn._typing import Array, PathLike, Size
from chainfpn.datasets._files import DataError
from chainfpn.images import ImageError, read_image, to_array

#: Key, index of its getter, and its place in what the getter returns, None if that is the value itself.
_Entry = tuple[str, int, int | None]


class DetectionDataset(GetterDataset):
    """Base of the data sets of images with boxes.

    An example is a tuple of what :attr:`keys` names; nothing is read but what is asked for. Every data set has

    * ``img``: float32, (3, H, W), RGB, 0..255, pixels as they are stored.
    * ``bbox``: float32, (R, 4), yxyx in pixels.
    * ``label``: int32, (R,), from 0.

    and some have ``mask``: bool, (R, H, W); ``area``: float32, (R,), in square pixels; ``crowded`` or ``difficult``:
    bool, (R,), ground truth that a detector is neither rewarded nor blamed for. Boxes are what the annotation says,
    good or bad; :class:`~chainfpn.datasets.ValidatedDataset` sorts them out.

    Args:
        files (sequence of str or os.PathLike): Image of each example.
        label_names (sequence of str): Names of the labels.

    Attributes:
        label_names (tuple of str): Names of the labels.
    """

    #: What an example has unless :attr:`keys` is set.
    DEFAULT_KEYS = ("img", "bbox", "label")

    def __init__(self, files: Iterable[PathLike], label_names: Iterable[str]) -> None:
        super().__init__()
        self._all_keys: list[_Entry] = []
        self._files = [pathlib.Path(file) for file in files]
        self.label_names = tuple(label_names)
        self.add_getter("img", self.get_image)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def available_keys(self) -> tuple[str, ...]:
        """Everything that :attr:`keys` may name: tuple of str."""
        return tuple(key for key, _, _ in self._all_keys)

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
        """Call the getters, each once."""
        got = {getter: self._getters[getter](i) for getter in dict.fromkeys(getter for _, getter, _ in entries)}
        return tuple(got[getter] if place is None else got[getter][place] for _, getter, place in entries)

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
        """Return the size of an image without reading its pixels.

        Args:
            i (int): Index of the example.

        Returns:
            (int, int): Height and width.

        Raises:
            DataError: if the file is not an image.
        """
        try:
            with Image.open(self._files[i]) as image:
                return image.height, image.width
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            self.get_image(i)  # says better what is wrong
            raise DataError(f"{self._files[i]}: is damaged") from None

    def get_image(self, i: int) -> Array:
        """Read an image.

        Args:
            i (int): Index of the example, from 0.

        Returns:
            array: float32, (3, H, W), RGB, 0..255.

        Raises:
            DataError: if the file is not there or not an image.
        """
        try:
            return np.ascontiguousarray(to_array(read_image(self._files[i], upright=False)))
        except ImageError as error:
            raise DataError(str(error)) from None


def normalize_index(dataset: Sized, i: int) -> int:
    """Return an index that may count from the end, as -1 does, as one that counts from the start.

    Args:
        dataset (sized): What has the examples.
        i (int): Index of an example.

    Returns:
        int: In [0, number of examples).

    Raises:
        IndexError: if there is no such example.
    """
    n, index = len(dataset), operator.index(i)
    if not -n <= index < n:
        raise IndexError(f"{type(dataset).__name__}: index must be in -{n}..{n - 1}, got {i}")
    return index % n
