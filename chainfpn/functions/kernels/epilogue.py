"""What follows a convolution, applied to each block of its result while that is in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import for_compiled, import_compiled


class Epilogue(NamedTuple):
    """relu((y - centre) * scale + shift + residual).

    Attributes:
        centre, scale, shift (array): (O,), in the dtype that is computed in; (0,) each for nothing at all.
        residual (array or None): Likewise, (B, O, outh, outw), C-contiguous.
        relu (bool): Whether to rectify.
    """

    centre: Array
    scale: Array
    shift: Array
    residual: Array | None = None
    relu: bool = False

    def of_images(self, images: int | slice, y: Array) -> tuple:
        """Return what the compiled kernels take behind the result, with y for a residual if there is none.

        Args:
            images (int or slice): Which of the residual.
            y (array): The result of that image, (O, ...), or those, (B, O, ...).

        Returns:
            tuple: Residual in the shape of y, centre, scale, shift, whether to add, whether to rectify.
        """
        residual = y if self.residual is None else self.residual[images].reshape(y.shape)
        return residual, *self[:3], self.residual is not None, self.relu

    def apply(
        self, normalize: Callable | None, image: int, y: Array, channels: tuple[int, int], pixels: tuple[int, int]
    ) -> None:
        """Apply it in place.

        Args:
            normalize (callable or None): The compiled kernel, see :func:`compiled_normalize`.
            image (int): Which image.
            y (array): Its result, (O, outh * outw), C-contiguous.
            channels, pixels ((int, int)): First, and last exclusive.
        """
        if not len(self.scale):
            return
        given = self.of_images(image, y)
        if normalize is not None:
            normalize(y, *given, channels, pixels)
            return
        at = slice(*channels), slice(*pixels)
        residual, centre, scale, shift, adds, rectifies = given
        part = y[at]
        for step, operand in ((np.subtract, centre), (np.multiply, scale), (np.add, shift)):
            step(part, operand[at[0], None], out=part)
        if adds:
            part += residual[at]
        if rectifies:
            np.maximum(part, 0, out=part)


def compiled_normalize() -> Callable | None:
    """Return the kernel for :meth:`Epilogue.apply`; threads that share the work do not know of ``plain_numpy``."""
    module = import_compiled("numba_normalize")
    return None if module is None else module.normalize_in_place


def nothing(dtype: np.dtype) -> Epilogue:
    """Return the epilogue that leaves everything as it is."""
    empty = np.empty(0, dtype)
    return Epilogue(empty, empty, empty)


def shifted(n_channels: int, dtype: np.dtype, shift: Array | None) -> Epilogue:
    """Return the epilogue that adds a bias, (O,), or zeros."""
    zeros, ones = np.zeros(n_channels, dtype), np.ones(n_channels, dtype)
    return Epilogue(zeros, ones, zeros if shift is None else for_compiled(shift, dtype))


def epilogue_of(
    n_channels: int,
    dtype: np.dtype,
    b: Array | None,
    affine: tuple[Array, Array, Array] | None,
    residual: Array | None,
    relu: bool,
) -> Epilogue:
    """Put together what follows a convolution: a bias, (y - centre) * scale + shift, a residual and a ReLU."""
    terms = shifted(n_channels, dtype, b)[:3]
    if affine is not None:
        centre, scale, shift = (for_compiled(a, dtype) for a in affine)
        terms = centre - terms[2], scale, shift
    return Epilogue(*terms, None if residual is None else for_compiled(residual, dtype), relu)
