"""What an image's EXIF orientation does to annotations that count the pixels as they are stored."""

import struct
import warnings

import numpy as np
from PIL import Image

from chainfpn._typing import Array, PathLike, Size
from chainfpn.datasets._files import DataError
from chainfpn.images import ImageError, read_image

_ORIENTATION_TAG, _WIDTH_TAG, _HEIGHT_TAG = 0x0112, 0x0100, 0x0101
#: Orientation to whether rows are reversed, columns are reversed, and then rows and columns exchanged.
_TURNS = {
    1: (False, False, False), 2: (False, True, False), 3: (True, True, False), 4: (True, False, False),
    5: (False, False, True), 6: (True, False, True), 7: (True, True, True), 8: (False, True, True),
}  # fmt: skip


def read_header(path: PathLike) -> tuple[Size, int]:
    """Read the size and the orientation of an image without its pixels.

    Args:
        path (str or os.PathLike): The file.

    Returns:
        tuple: Height and width as stored, (int, int), and the EXIF orientation, 1 to 8.

    Raises:
        DataError: if it is no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                orientation = Image.Image.getexif(image).get(_ORIENTATION_TAG)  # that of a PNG would read all pixels
                if image.format == "PNG" and orientation is None:
                    orientation = _late_exif(path).get(_ORIENTATION_TAG)
                width, height = _stored_size(image)
                return (height, width), orientation if orientation in _TURNS else 1
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        try:
            read_image(path)  # says better what is wrong
        except ImageError as error:
            raise DataError(str(error), reason="images that cannot be read") from None
        raise DataError(f"{path}: is damaged", reason="images that cannot be read") from None


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height; Pillow has those of the upright image, or not, of a TIFF that is not read yet."""
    tags = getattr(image, "tag_v2", None)
    return image.size if tags is None else (tags[_WIDTH_TAG], tags[_HEIGHT_TAG])


def _late_exif(path: PathLike) -> Image.Exif:
    """Return the EXIF of a PNG that stands behind its pixels, empty if there is none."""
    exif = Image.Exif()
    with open(path, "rb") as file:
        file.seek(8)  # behind the signature
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                exif.load(file.read(length))
                break
            file.seek(length + 4, 1)  # and the check sum
    return exif


def turned_size(size: Size, orientation: int) -> Size:
    """Return the height and width of an image that was turned upright, from those that are stored."""
    return size[::-1] if _TURNS[orientation][2] else size


def turn_boxes(bbox: Array, size: Size, orientation: int) -> Array:
    """Turn boxes (R, 4), yxyx, with their image, whose height and width as stored are ``size``."""
    for axis, reverse in enumerate(_TURNS[orientation][:2]):
        if reverse:
            bbox = bbox.copy()
            bbox[:, [axis, axis + 2]] = size[axis] - bbox[:, [axis + 2, axis]]
    return bbox[:, [1, 0, 3, 2]] if _TURNS[orientation][2] else bbox


def turn_points(point: Array, size: Size, orientation: int) -> Array:
    """Turn keypoints (R, K, 2), yx, with their image."""
    for axis, reverse in enumerate(_TURNS[orientation][:2]):
        if reverse:
            point = point.copy()
            point[..., axis] = size[axis] - point[..., axis]
    return point[..., ::-1] if _TURNS[orientation][2] else point


def turn_masks(mask: Array, size: Size, orientation: int) -> Array:
    """Turn masks (R, H, W) with their image: (R, H, W) or (R, W, H)."""
    reverse_rows, reverse_columns, exchange = _TURNS[orientation]
    mask = mask[:, :: -1 if reverse_rows else 1, :: -1 if reverse_columns else 1]
    return np.ascontiguousarray(mask.transpose(0, 2, 1) if exchange else mask)
