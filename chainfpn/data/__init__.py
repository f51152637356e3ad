"""What comes with the package: a small trained detector, a photograph to try it on, and the names of ImageNet's labels.

``person.md`` is the detector's model card, ``astronaut.md`` and ``imagenet.md`` say where the others are from.
"""

import atexit
import contextlib
import functools
import importlib.resources

_files = contextlib.ExitStack()
atexit.register(_files.close)


def weights_path():
    """Return where the bundled person detector is.

    Returns:
        pathlib.Path: An .npz for :func:`chainfpn.models.load`.

    Example:
        >>> from chainfpn import models
        >>> models.load(weights_path()).label_names
        ('person',)
    """
    return _path("person.npz")


def photograph_path():
    """Return where the bundled photograph is.

    Returns:
        pathlib.Path: A JPEG of 512 x 512 pixels with one person in it.
    """
    return _path("astronaut.jpg")


@functools.cache
def imagenet_label_names():
    """Return the names of ImageNet's 1000 classes, in the order of torchvision's classifiers.

    Returns:
        tuple of str: The names.

    Example:
        >>> imagenet_label_names()[285]
        'Egyptian cat'
    """
    return tuple((importlib.resources.files(__name__) / "imagenet.txt").read_text(encoding="utf-8").splitlines())


@functools.cache
def _path(name):
    """Return the path of a file of this package, unpacked until the program ends if the package is zipped."""
    return _files.enter_context(importlib.resources.as_file(importlib.resources.files(__name__) / name))
