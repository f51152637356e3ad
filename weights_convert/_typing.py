"""The types that signatures share."""

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
#: The path of a file or folder.
PathLike: TypeAlias = str | os.PathLike[str]
Shape: TypeAlias = tuple[int, ...]
#: Shapes by torch's name.
Shapes: TypeAlias = dict[str, Shape]
#: What JSON calls an object.
Json: TypeAlias = dict[str, Any]
#: Builder, its keyword arguments, and the shapes of every tensor it must have; None where the signature is another.
Described: TypeAlias = tuple[str, Json, Shapes] | None
#: Tensors by name, `Unsupported` where there is one that no array can hold.
Tensors: TypeAlias = dict[str, Any]
AnyShapes: TypeAlias = Mapping[str, Shape]
