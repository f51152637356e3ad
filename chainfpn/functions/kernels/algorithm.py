"""Which algorithm convolves outside of training where there are two: ``CHAINFPN_CONV``, or a short measurement.

In training the rule decides alone, so that a training that is resumed gives the same bits. Outside of it
``CHAINFPN_CONV=choices.json`` keeps what was measured in that file, for each processor: another process measures
nothing and gives the same bits.
"""

import functools
import json
import os
import pathlib
import platform
import re
import time
from collections.abc import Callable
from typing import Any

from chainfpn.errors import InvalidArgument

#: What the environment variable may be, if it is no path of a JSON file.
CHOICES = ("measure", "rules", "winograd", "direct")

#: How the name of a file ends that choices are kept in.
SUFFIX = ".json"

#: How many times as fast the other algorithm must be to take the place of the rule's.
MARGIN = 1.25

#: Whether it is Winograd's, for each kind of convolution that this process has measured.
_measured: dict[tuple[Any, ...], bool] = {}


def chosen() -> str:
    """Return what ``CHAINFPN_CONV`` says; ``'measure'`` if it says nothing or names a file.

    Raises:
        InvalidArgument: if it is another word.
    """
    choice = os.environ.get("CHAINFPN_CONV") or "measure"
    if choice.endswith(SUFFIX):
        return "measure"
    if choice not in CHOICES:
        rule = f"one of {', '.join(CHOICES)}, or a file *{SUFFIX}"
        raise InvalidArgument("convolution_2d", "CHAINFPN_CONV", rule, choice)
    return choice


def is_winograd(
    by_rule: bool, kind: tuple[Any, ...] | None, winograd: Callable[[], object], direct: Callable[[], object]
) -> bool:
    """Return whether Winograd's algorithm is to be taken.

    Args:
        by_rule (bool): Whether the rule takes it.
        kind (tuple or None): What the time depends on: measured once in a process. None measures nothing.
        winograd, direct (callable): Each computes a small part of the convolution.

    Returns:
        bool: Whether.

    Raises:
        InvalidArgument: if ``CHAINFPN_CONV`` is another word, or a file of something else.
        CheckpointError: if that file cannot be written.
    """
    choice = chosen()
    if choice in ("winograd", "direct"):
        return choice == "winograd"
    if choice == "rules" or kind is None:
        return by_rule
    if kind not in _measured:
        ours, other = (winograd, direct) if by_rule else (direct, winograd)
        _measured.setdefault(kind, _kept_choice(kind, lambda: by_rule ^ (MARGIN * seconds(other) < seconds(ours))))
    return _measured[kind]


def _kept_choice(kind, measure):
    """Return what ``measure`` does, or what the file of ``CHAINFPN_CONV`` has for this processor, and keep it there."""
    path = os.environ.get("CHAINFPN_CONV", "")
    if not path.endswith(SUFFIX):
        return measure()
    from weights_convert import atomic_write

    key, known = " ".join(map(str, kind)), _read(path)
    of_this = known.setdefault(processor(), {})
    if key not in of_this:
        is_winograd = bool(measure())
        known = _read(path)  # what another process has added since
        of_this = known.setdefault(processor(), {})
        of_this.setdefault(key, is_winograd)
        with atomic_write(path) as file:
            file.write(json.dumps(known, indent=1, sort_keys=True).encode())
    return of_this[key]


def _read(path):
    """Return the choices in a file: processor to kind to whether it is Winograd's; none if it is not there."""
    try:
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError:
        known = None
    parts = [*known.values()] if isinstance(known, dict) else [None]
    if not all(isinstance(part, dict) and all(isinstance(choice, bool) for choice in part.values()) for part in parts):
        raise InvalidArgument("convolution_2d", "CHAINFPN_CONV", "a file of choices, or a new one", path)
    return known


@functools.cache
def processor() -> str:
    """Return the name of this machine's processor: str."""
    info = pathlib.Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def seconds(run: Callable[[], object]) -> float:
    """Return the processor seconds of the faster of two runs: those of other processes do not count."""
    times = []
    for _ in range(2):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)
