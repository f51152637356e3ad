"""How many cores a process may use: those it has affinity to, and of them what a container's control groups allow."""

import math
import os
import pathlib


def requested(*names: str) -> int | None:
    """Return the number that the first of some environment variables has; None if none has one."""
    for name in names:
        first = os.environ.get(name, "").partition(",")[0].strip()  # OpenMP's is a list, an entry per level
        if first.isdecimal() and int(first):
            return int(first)
    return None


def count_cores(root: pathlib.Path = pathlib.Path("/")) -> int:
    """Count the cores that this process may use.

    Args:
        root (pathlib.Path): Folder of the system's files.

    Returns:
        int: At least 1.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([n_cores, *_quotas(root)])))


def _quotas(root):
    """List how many cores the control groups of this process, and those they are in, may use."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    quotas = []
    for _, controllers, path in groups:
        if not controllers or "cpu" in controllers.split(","):
            top = root / "sys/fs/cgroup" / controllers
            here = top / path.lstrip("/")
            folders = [folder for folder in (here, *here.parents) if folder.is_relative_to(top)]
            quotas += map(_quota, folders)  # a container may see the uppermost alone
    return quotas


def _quota(folder):
    """Return how many cores a control group may use: in two forms, by the version of the system's groups."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = map(float, (folder / "cpu.max").read_text().replace("max", "inf").split())
        else:
            quota, period = (float((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return math.inf
    return quota / period if quota > 0 else math.inf
