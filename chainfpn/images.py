"""Image files of every kind as upright RGB."""

import struct
import threading
import warnings
import zlib
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from chainfpn._typing import Array, PathLike

#: What Pillow raises for files that are damaged in one way or another.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error, zlib.error)

#: Errors that have a name, and what they are called.
_PROBLEMS = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "is a folder, not an image",
    PermissionError: "may not be read",
    Image.UnidentifiedImageError: "is not an image",
    Image.DecompressionBombError: "claims to be larger than any photograph, and is not read",
    MemoryError: "is too large for the memory",
}

#: Modes whose grey values Pillow would cut off at 255 instead of scaling, and the value of white; floats in 0..1 too.
_WHITE = {"I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I;16N": 65535, "I": 65535, "F": 255}


class _WithoutWarnings:
    """Drop warnings, of odd metadata and large pictures, while any thread is inside: what filters them is global."""

    def __init__(self):
        self.lock, self.n_inside = threading.Lock(), 0

    def __enter__(self):
        with self.lock:
            self.n_inside += 1
            if self.n_inside == 1:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *error):
        with self.lock:
            self.n_inside -= 1
            if self.n_inside == 0:
                self.filters.__exit__(*error)


_without_warnings = _WithoutWarnings()


class ImageError(Exception):
    """A file that is not there or is not an image that can be read."""


def read_image(path: PathLike | BinaryIO, *, upright: bool = True, name: str | None = None) -> Image.Image:
    """Read an image the way a viewer shows it.

    Turned upright as its EXIF orientation says; of an animation the first frame. Grey, palette and CMYK images become
    RGB, 16-bit grey is scaled to 8 bits, and what is transparent is laid on white.

    Args:
        path (str, os.PathLike or file): The file.
        upright (bool): Whether to heed the EXIF orientation; annotations count pixels as they are stored.
        name (str or None): What errors call it; ``path`` by default.

    Returns:
        PIL.Image.Image: In mode RGB.

    Raises:
        ImageError: naming the file and what is wrong with it.
    """
    try:
        with _without_warnings, Image.open(path) as file:
            file.load()
            return _to_rgb(ImageOps.exif_transpose(file) if upright else file.copy())
    except tuple(_PROBLEMS) as error:
        problem = next(problem for kind, problem in _PROBLEMS.items() if isinstance(error, kind))
        raise ImageError(f"{name or path}: {problem}") from None
    except _DAMAGE as error:
        raise ImageError(f"{name or path}: is damaged ({error})") from error


def to_array(image: Image.Image) -> Array:
    """Convert an RGB image to the array that detectors take.

    Args:
        image (PIL.Image.Image): In mode RGB.

    Returns:
        array: float32, (3, H, W), RGB, 0..255.
    """
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _WHITE:
        grey = np.nan_to_num(np.asarray(image).astype(np.float64))
        white = 1 if image.mode == "F" and grey.max() <= 1 else _WHITE[image.mode]
        image = Image.fromarray(np.clip(np.round(grey * (255 / white)), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")
