"""What every data set of boxes has in common."""

import json
import operator
import os
import pathlib

import numpy as np
from chainercv.chainer_experimental.datasets.sliceable import GetterDataset
from PIL import Image

from chainfpn.images import ImageError, read_image, to_array


class DataError(ValueError):
    """A file of a data set that is not there or not what it should be; the message begins with its name."""


class DetectionDataset(GetterDataset):
    """Base of the data sets of images with boxes.

    An example is a tuple of what :attr:`keys` names; nothing is read but what is asked for. Every data set has

    * ``img``: float32, (3, H, W), RGB, 0..255, pixels as they are stored.
    * ``bbox``: float32, (R, 4), yxyx in pixels.
    * ``label``: int32, (R,), from 0.

    and some have ``mask``: bool, (R, H, W); ``area``: float32, (R,), in square pixels; ``crowded`` or ``difficult``:
    bool, (R,), objects that a detector is neither rewarded nor blamed for. Boxes are what the annotation says, good or
    bad; :class:`~chainfpn.datasets.ValidatedDataset` sorts them out.

    Args:
        files (sequence of str or os.PathLike): Image of each example.
        label_names (sequence of str): Names of the labels.

    Attributes:
        label_names (tuple of str): Names of the labels.
    """

    #: What an example has unless :attr:`keys` is set.
    DEFAULT_KEYS = ("img", "bbox", "label")

    def __init__(self, files, label_names):
        super().__init__()
        self._all_keys = []
        self._files = [pathlib.Path(file) for file in files]
        self.label_names = tuple(label_names)
        self.add_getter("img", self.get_image)

    def __len__(self):
        return len(self._files)

    @property
    def available_keys(self):
        """Everything that :attr:`keys` may name: tuple of str."""
        return tuple(key for key, _, _ in self._all_keys)

    @property
    def keys(self):
        """What an example has: tuple of str, or str; set it to choose others of :attr:`available_keys`."""
        return GetterDataset.keys.fget(self)

    @keys.setter
    def keys(self, keys):
        one = isinstance(keys, str)
        self._keys, self._return_tuple = self._entries([keys] if one else keys), not one

    def add_getter(self, keys, getter):
        """Register a getter; see ChainerCV's ``GetterDataset``."""
        n = len(self._keys)
        super().add_getter(keys, getter)
        self._all_keys += self._keys[n:]

    def get_example_by_keys(self, index, key_indices):
        """Read something of an example; see ChainerCV's ``SliceableDataset``."""
        return self.read(index, [self._keys[k][0] for k in key_indices])

    def read(self, i, keys):
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
        return self._read(from_start(self, i), self._entries(keys))

    def _read(self, i, entries):
        """Ask the getters, each once."""
        got = {getter: self._getters[getter](i) for getter in dict.fromkeys(getter for _, getter, _ in entries)}
        return tuple(got[getter] if part is None else got[getter][part] for _, getter, part in entries)

    def _entries(self, keys):
        """Tell of each key the getter, and the place in what that returns or None: ``(key, getter, place)``."""
        known = {entry[0]: entry for entry in self._all_keys}
        try:
            return [known[key] for key in keys]
        except KeyError as error:
            raise ValueError(f"{type(self).__name__}: keys must be among {', '.join(known)}, got {error}") from None

    def file_name(self, i):
        """Name the file of an example, for messages.

        Args:
            i (int): Index of the example.

        Returns:
            str: Path of its image.
        """
        return str(self._files[i])

    def size(self, i):
        """Tell the size of an image without reading its pixels.

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

    def get_image(self, i):
        """Read an image.

        Args:
            i (int): Index of the example.

        Returns:
            array: float32, (3, H, W), RGB, 0..255.

        Raises:
            DataError: if the file is not there or not an image.
        """
        try:
            return np.ascontiguousarray(to_array(read_image(self._files[i], upright=False)))
        except ImageError as error:
            raise DataError(str(error)) from None


def from_start(dataset, i):
    """Turn an index that may count from the end, as -1 does, into one that counts from the start.

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


def read_names(path):
    """Read a list of file names: JSON, or one a line.

    Args:
        path (str or os.PathLike): The list.

    Returns:
        list of str: The names.

    Raises:
        DataError: if the file cannot be read or is no such list.
    """
    text = read_text(path)
    if not text.lstrip().startswith(("[", "{")):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        names = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not a JSON list ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: must be a JSON list of file names")
    return names


def select(files, *, names=None, without=None):
    """Choose among the files of a data set by their names.

    A name may be given with or without its folder and its suffix.

    Args:
        files (sequence of str or os.PathLike): The files.
        names (sequence of str, str, os.PathLike or None): Only these, or a file with a list of them.
        without (sequence of str, str, os.PathLike or None): All but these, or a file with a list of them.

    Returns:
        list of int: Indices of what is left, in the order of ``files``.

    Raises:
        DataError: if a name is of no file, or nothing is left.
    """
    known = [_spellings(file) for file in files]
    chosen = range(len(known))
    for wanted, keep in ((names, True), (without, False)):
        if wanted is None:
            continue
        where = "names" if keep else "without"
        if isinstance(wanted, str | os.PathLike):
            where, wanted = str(wanted), read_names(wanted)
        wanted = set(wanted)
        missing = sorted(wanted.difference(*known))
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(f"{where}: the data has no image {missing[0]!r}{more}")
        chosen = [i for i in chosen if known[i].isdisjoint(wanted) != keep]
    if not chosen:
        raise DataError("no image is left of the data")
    return list(chosen)


def _spellings(file):
    path = pathlib.PurePath(file)
    return {str(path), path.as_posix(), path.name, path.stem}


def read_text(path):
    """Read a text file of a data set.

    Args:
        path (str or os.PathLike): The file.

    Returns:
        str: Its text.

    Raises:
        DataError: if it cannot be read or is no text.
    """
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise DataError(f"{path}: is not a text file") from None
