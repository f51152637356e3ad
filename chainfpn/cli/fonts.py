"""Letters of names that are not English."""

import functools
import importlib.util
import pathlib
from collections.abc import Iterable
from typing import Any

from PIL import ImageFont

#: Files of fonts on Linux, macOS and Windows that have more letters than Pillow's own, those with Chinese and Japanese
#: first.
_FILES = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msgothic.ttc", "malgun.ttf", "DejaVuSans.ttf", "arial.ttf")


def find_font(texts: Iterable[str], size: int) -> Any:
    """Return Pillow's own font, or one of this machine that has letters which that has not.

    Args:
        texts (iterable of str): What is written with it.
        size (int): Its height in pixels.

    Returns:
        PIL.ImageFont.FreeTypeFont: The font; Pillow's own where none has all letters.
    """
    letters = {letter for letter in "".join(texts) if letter.isalnum() and not letter.isascii()}
    file = _file("".join(sorted(letters))) if letters else None
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


@functools.cache
def _file(letters: str) -> str | None:
    matplotlib = importlib.util.find_spec("matplotlib")
    folder = pathlib.Path(matplotlib.origin).parent / "mpl-data/fonts/ttf" if matplotlib and matplotlib.origin else "."
    for file in (*_FILES, str(pathlib.Path(folder, "DejaVuSans.ttf"))):
        try:
            font = ImageFont.truetype(file, 20)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if all(bytes(font.getmask(letter)) != missing for letter in letters):
            return str(font.path)
    return None
