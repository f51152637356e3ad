"""What comes with the package: a small trained detector and a photograph to try it on.

``person.md`` is the detector's model card, ``astronaut.md`` says where the photograph is from.
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
def _path(name):
    """Return the path of a file of this package, unpacked until the program ends if the package is zipped."""
    return _files.enter_context(importlib.resources.as_file(importlib.resources.files(__name__) / name))
