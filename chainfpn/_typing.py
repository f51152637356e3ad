"""The types that signatures share."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

#: A NumPy or CuPy array; shapes and dtypes stand in the docstrings.
Array: TypeAlias = Any
#: A ``chainer.Variable``, or an array where a function takes either.
Variable: TypeAlias = Any
#: Height and width in pixels.
Size: TypeAlias = tuple[int, int]
#: The path of a file or folder.
PathLike: TypeAlias = str | os.PathLike[str]
#: Names of labels, in the order of the labels.
Labels: TypeAlias = Sequence[str]
#: Takes a sentence for the user, such as ``print``.
Report: TypeAlias = Callable[[str], Any]
#: ChainerMN's communicator of several processes, or None.
Communicator: TypeAlias = Any
#: An array per image, or per level.
Arrays: TypeAlias = Sequence[Array]
#: A variable per level.
Variables: TypeAlias = list[Variable]
#: A size per image.
Sizes: TypeAlias = list[Size]
#: The losses of a detector by name.
Losses: TypeAlias = dict[str, Variable]
#: What makes a normalization link for a number of channels.
Norm: TypeAlias = Callable[[int], Any]
