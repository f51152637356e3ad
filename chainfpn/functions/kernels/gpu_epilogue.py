"""A convolution on a GPU with the bias, the sum and the ReLU behind it as one plan of cuDNN, outside of training.

No plan is trusted. The second time that a convolution comes, both ways compute it: the plan is kept if it gives the
same numbers and takes no longer, and a plan that gives others is the last that is tried.
"""

import functools
import math
import os
import warnings
from collections.abc import Callable, Hashable
from typing import NamedTuple

import chainer
import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array
from chainfpn.functions.kernels.convolution import Geometry
from chainfpn.functions.kernels.cudnn_backend import CudnnError, is_strict
from chainfpn.functions.kernels.cudnn_graph import ALIGNMENT
from chainfpn.functions.kernels.gpu_convolution import may_round, milliseconds, plan_key, run_plan, uses_cudnn

#: Set to 0 nothing is fused.
VARIABLE = "CHAINFPN_CUDNN_FUSION"
#: How far results may be apart, of the largest number: weights are scaled before they are summed instead of after.
TOLERANCES = {"e": 2e-2, "f": 1e-4, "d": 1e-10}
TF32_TOLERANCE = 1e-2
#: Convolutions that a process tries, some milliseconds each, and remembers at once that they came.
MAX_TRIALS = 256
MAX_SEEN = 4096

#: Whether the plan of a convolution is good, for each that was tried.
_is_good: dict[Hashable, bool] = {}
_seen: set[Hashable] = set()
#: What a plan did wrong.
_wrong: list[str] = []


class Convolution(NamedTuple):
    """relu(x convolved with W + b + residual).

    Attributes:
        x, W, b (arrays): float on a GPU, (B, C, H, W), (O, C / groups, kh, kw) and (O,), of one dtype.
        residual (array or None): Likewise, (B, O, outh, outw).
        relu (bool): Whether to rectify.
        geometry (Geometry): Stride, padding, dilation, groups.
    """

    x: Array
    W: Array
    b: Array
    residual: Array | None
    relu: bool
    geometry: Geometry

    def run(self) -> Array:
        """Return the result, (B, O, outh, outw), by a plan of cuDNN; raise CudnnError if it has none."""
        xp, arrays = cuda.cupy, [a for a in (self.b, self.residual) if a is not None]
        W, x, b, *residual = [xp.ascontiguousarray(a) for a in (self.W, self.x, *arrays)]
        y = xp.empty((len(x), len(W), *self.geometry.outsize(x.shape, W.shape[2:])), x.dtype)
        arrays = [W, x, y, b.reshape(1, -1, 1, 1), *residual]
        pointers, shapes = tuple([a.data.ptr for a in arrays]), tuple([a.shape for a in arrays])
        run_plan(plan_key("y", shapes, y, self.geometry, pointers, self.relu), pointers)
        return y


def convolve(arrays: list[Array], kind: Hashable, fused: Callable[[], Array], separately: Callable[[], Array]) -> Array:
    """Convolve in the way that is known to be right and fast.

    Args:
        arrays (list of array): x, W and what else there is: float on a GPU, of one dtype, not empty.
        kind (hashable): What else decides on the plan, but for Chainer's configuration.
        fused (callable): Returns the result by one plan; raises CudnnError if there is none.
        separately (callable): Returns its result in two steps, C-contiguous.

    Returns:
        array: dtype of x, (B, O, outh, outw).
    """
    if chainer.config.cudnn_deterministic or not uses_cudnn() or problem():
        return separately()
    x, alignment = arrays[0], math.gcd(ALIGNMENT, *[a.data.ptr for a in arrays])
    kind = kind, x.shape, x.dtype.char, x.data.device_id, alignment, may_round(), bool(chainer.config.autotune)
    good = _is_good.get(kind)
    if good is None and not is_strict() and len(_is_good) < MAX_TRIALS:
        if kind in _seen:
            return _try(kind, fused, separately)
        if len(_seen) >= MAX_SEEN:
            _seen.clear()
        _seen.add(kind)
    if not good:
        return separately()
    try:
        return fused()
    except (CudnnError, MemoryError):
        if is_strict():
            raise
        _is_good[kind] = False
        return separately()


def _try(kind, fused, separately):
    """Compute in both ways, remember whether the plan is good, and return the result that needs no plan."""
    expected = separately()
    try:
        difference = _difference(fused(), expected)
        if difference is None:
            return expected  # nothing can be told from these numbers
        is_right = difference <= max(TOLERANCES[expected.dtype.char], TF32_TOLERANCE if may_round() else 0)
        _is_good[kind] = is_right and milliseconds(fused) <= milliseconds(separately)
    except (CudnnError, MemoryError):
        _is_good[kind] = False
        return expected
    if not is_right:
        _wrong.append(f"a result of cuDNN was off by {difference:.1e} of the largest number, for {kind}")
        text = f"convolution_2d: bias, sum and ReLU go by a kernel of their own from now on: {_wrong[-1]}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return expected


def _difference(y, expected):
    """Return how far two arrays are apart, of the largest number; None if there is none, or one is not finite."""
    xp = cuda.cupy
    far, largest = xp.stack([abs(y - expected).max(), abs(expected).max()]).get().astype(np.float64)
    if not 0 < largest < math.inf:
        return None
    return far / largest if math.isfinite(far) else math.inf


def problem() -> str:
    """Return why nothing is fused here, or nothing if a small convolution is."""
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE}=0"
    return _wrong[0] if _wrong else _problem_of_cudnn()


@functools.cache
def _problem_of_cudnn():
    ones = cuda.cupy.ones((1, 1, 4, 4), np.float32)
    b = cuda.cupy.full(1, -7, np.float32)
    convolution = Convolution(ones, ones[:, :, :3, :3], b, ones, True, Geometry((1, 1), (1, 1), (1, 1), 1))
    try:
        y = convolution.run().get()
    except (RuntimeError, MemoryError) as error:  # cuDNN's and CuPy's
        return str(error)
    expected = np.pad(np.full((2, 2), 3, np.float32), 1)  # windows of 4, 6 and 9 ones, one more, and 7 less
    return "" if (y == expected).all() else f"a result of cuDNN was {y.tolist()} in place of {expected.tolist()}"
