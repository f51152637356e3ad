"""What comes with the package: a small trained detector, two photographs to try it on, and ImageNet's label names.

``person.md`` is the detector's model card, ``photographs.md`` and ``imagenet.md`` say where the others are from.
"""

import atexit
import contextlib
import functools
import importlib.resources
import pathlib

#: What :func:`photograph_path` knows.
PHOTOGRAPHS = ("astronaut", "coffee")

_files = contextlib.ExitStack()
atexit.register(_files.close)


def weights_path() -> pathlib.Path:
    """Return where the bundled person detector is.

    Returns:
        pathlib.Path: An .npz for :func:`chainfpn.models.load`.

    Example:
        >>> from chainfpn import models
        >>> models.load(weights_path()).label_names
        ('person',)
    """
    return _path("person.npz")


def photograph_path(name: str = "astronaut") -> pathlib.Path:
    """Return where a bundled photograph is.

    Args:
        name (str): ``'astronaut'``, 512 x 512 pixels with one person, or ``'coffee'``, 400 x 600 pixels with none.

    Returns:
        pathlib.Path: A JPEG.

    Raises:
        ValueError: if there is no photograph of this name.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"photograph_path: name must be one of {', '.join(PHOTOGRAPHS)}, got {name!r}")
    return _path(f"{name}.jpg")


@functools.cache
def imagenet_label_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes, in the order of torchvision's classifiers.

    Returns:
        tuple of str: The names.

    Example:
        >>> imagenet_label_names()[285]
        'Egyptian cat'
    """
    return tuple((importlib.resources.files(__name__) / "imagenet.txt").read_text(encoding="utf-8").splitlines())


@functools.cache
def _path(name: str) -> pathlib.Path:
    """Return the path of a file of this package, unpacked until the program ends if the package is zipped."""
    return _files.enter_context(importlib.resources.as_file(importlib.resources.files(__name__) / name))
