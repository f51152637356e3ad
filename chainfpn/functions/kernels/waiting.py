"""Waits for numbers of a GPU that all images of a batch share.

How many boxes an image has left is known on the device, and the host has to know it. A function that asks for such a
number is a generator: it yields integers of its device, and is sent them as a list. On NumPy arrays it yields nothing.
"""

import itertools
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array

T = TypeVar("T")

#: A function that may ask: see above.
Asking = Generator[Array, list[int], T]


def together(functions: Sequence[Asking[T]]) -> list[T]:
    """Run functions side by side, each up to its next question: the host waits once for all that are asked.

    Args:
        functions (sequence of generator): Each yields arrays (n,), int64, on one device for all.

    Returns:
        list: What each returns.
    """
    results: dict[int, T] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(functions)))
    while answers:
        asked = {}
        for i, answer in answers.items():
            question, result = _go_on(functions[i], answer)
            if question is None:
                results[i] = result
            else:
                asked[i] = question
        answers = dict(zip(asked, _download(list(asked.values())), strict=True))
    return [results[i] for i in range(len(functions))]


def alone(function: Asking[T]) -> T:
    """Run one function: see :func:`together`."""
    return together([function])[0]


def nonzero(mask: Array) -> Asking[Array]:
    """Find the elements that are true.

    Args:
        mask (array): bool.

    Returns:
        array: int64, indices into the flattened mask, ascending.
    """
    if isinstance(mask, np.ndarray) or not mask.size:
        return mask.ravel().nonzero()[0]
    mask = mask.ravel()
    rank = mask.cumsum(dtype=np.int64)
    (n,) = yield rank[-1:]
    found = cuda.cupy.empty(n, np.int64)
    cuda.elementwise("bool mask, int64 rank", "raw int64 found", "if (mask) found[rank - 1] = i", "nonzero")(
        mask, rank, found
    )
    return found


def _go_on(function, answer):
    """Return the next question of a function and None, or None and what it returns."""
    try:
        return function.send(answer), None
    except StopIteration as end:
        return None, end.value


def _download(arrays):
    """Return the elements of all arrays as lists, by one copy."""
    if not arrays:
        return []
    numbers = (arrays[0] if len(arrays) == 1 else cuda.get_array_module(*arrays).concatenate(arrays)).tolist()
    ends = itertools.accumulate(map(len, arrays), initial=0)
    return [numbers[begin:end] for begin, end in itertools.pairwise(ends)]
