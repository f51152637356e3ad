"""Files of small data sets, and the folders that they are in."""

import json

from PIL import Image


def write(path, content):
    """Write bytes, a text in UTF-8 or JSON."""
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def picture(path, **options):
    """Write a picture, 96 pixels wide and 64 high; the options are Pillow's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (96, 64), (90, 120, 60)).save(path, **options)
