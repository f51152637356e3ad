"""Which algorithm convolves outside of training where there are two: ``CHAINFPN_CONV``, or a short measurement.

In training the rule decides alone, so that a training that is resumed gives the same bits.
"""

import os
import time
from collections.abc import Callable, Hashable

from chainfpn.errors import InvalidArgument

#: What the environment variable may be.
CHOICES = ("measure", "rules", "winograd", "direct")

#: How many times as fast the other algorithm must be to take the place of the rule's.
MARGIN = 1.25

#: Whether it is Winograd's, for each kind of convolution that this process has measured.
_measured: dict[Hashable, bool] = {}


def chosen() -> str:
    """Return what ``CHAINFPN_CONV`` says, or ``'measure'``.

    Raises:
        InvalidArgument: if it is another word.
    """
    choice = os.environ.get("CHAINFPN_CONV") or "measure"
    if choice not in CHOICES:
        raise InvalidArgument("convolution_2d", "CHAINFPN_CONV", f"one of {', '.join(CHOICES)}", choice)
    return choice


def is_winograd(by_rule: bool, kind: Hashable, winograd: Callable[[], object], direct: Callable[[], object]) -> bool:
    """Return whether Winograd's algorithm is to be taken.

    Args:
        by_rule (bool): Whether the rule takes it.
        kind (hashable or None): What the time depends on: measured once in a process. None measures nothing.
        winograd, direct (callable): Each computes a small part of the convolution.

    Returns:
        bool: Whether.

    Raises:
        InvalidArgument: if ``CHAINFPN_CONV`` is another word.
    """
    choice = chosen()
    if choice in ("winograd", "direct"):
        return choice == "winograd"
    if choice == "rules" or kind is None:
        return by_rule
    if kind not in _measured:
        ours, other = (winograd, direct) if by_rule else (direct, winograd)
        _measured.setdefault(kind, by_rule ^ (MARGIN * seconds(other) < seconds(ours)))
    return _measured[kind]


def seconds(run: Callable[[], object]) -> float:
    """Return the processor seconds of the faster of two runs: those of other processes do not count."""
    times = []
    for _ in range(2):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)
