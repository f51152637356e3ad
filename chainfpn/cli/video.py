"""Videos with OpenCV: read frame by frame, and written again."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from chainfpn.images import ImageError

#: Frames a second of a file that does not say it.
_DEFAULT_RATE = 25.0


def _opencv(name: object) -> Any:
    try:
        import cv2
    except ImportError:
        raise ImageError(f"{name}: a video needs OpenCV; pip install 'chainfpn[video]'") from None
    return cv2


class VideoReader:
    """Read the frames of a video; a context manager that closes it.

    Args:
        path (str): The file.

    Attributes:
        rate (float): Frames a second.

    Raises:
        ImageError: naming the file if it is no video that can be read, or there is no OpenCV.
    """

    def __init__(self, path: str) -> None:
        cv2 = _opencv(path)
        if not os.path.exists(path):
            raise ImageError(f"{path}: there is no such file")
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise ImageError(f"{path}: is not a video that OpenCV can read")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate < 1000 else _DEFAULT_RATE

    def __enter__(self) -> "VideoReader":
        return self

    def __iter__(self) -> Iterator[Image.Image]:
        """Iterate over the frames, in mode RGB."""
        while True:
            good, frame = self._capture.read()
            if not good:
                return
            yield Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))

    def __exit__(self, *error: object) -> None:
        self._capture.release()


class VideoWriter:
    """Write a video that appears under its name when it is complete.

    Args:
        path (pathlib.Path): An .mp4.
        rate (float): Frames a second.
    """

    def __init__(self, path: pathlib.Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
        self._writer: Any = None
        self._size = (0, 0)

    def add(self, picture: Image.Image) -> None:
        """Append a frame, in the size of the first.

        Raises:
            OSError: if the file cannot be written.
        """
        cv2 = _opencv(self.path)
        if self._writer is None:
            self._writer = cv2.VideoWriter(
                str(self._temporary), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, picture.size
            )
            self._size = picture.size
            if not self._writer.isOpened():
                raise OSError(0, "OpenCV cannot write it", str(self.path))
        frame = picture if picture.size == self._size else picture.resize(self._size)
        self._writer.write(np.ascontiguousarray(np.asarray(frame)[:, :, ::-1]))

    def close(self, *, complete: bool) -> None:
        """End the file; one that is not complete is removed."""
        if self._writer is not None:
            self._writer.release()
            if complete:
                self._temporary.replace(self.path)
        with contextlib.suppress(FileNotFoundError):
            self._temporary.unlink()
