"""The stages of a detection, and how long each takes."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any


class Stopwatch:
    """Adds up the time inside methods, which it replaces on their instances.

    Args:
        wait (callable): Waits for the device.
    """

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.seconds: dict[str, float] = {}
        self.wait = wait
        self.by_stage = True

    def watch(self, stage: str, part: Any, method: str = "forward") -> None:
        """Let the time inside a method of a part count for a stage."""
        original = getattr(part, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if not self.by_stage:
                return original(*args, **kwargs)
            self.wait()
            start = time.perf_counter()
            result = original(*args, **kwargs)
            self.wait()
            self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - start
            return result

        object.__setattr__(part, method, timed)

    def run(self, function: Callable[[], object], repeat: int, *, undivided: bool = True) -> dict[str, list[float]]:
        """Run to warm up, then time: lists of seconds by stage, ``staged``, and perhaps of undivided runs, ``all``."""
        runs = []
        for _ in range(repeat + 1):
            self.seconds, self.by_stage = {}, True
            start = time.perf_counter()
            function()
            self.seconds["staged"] = time.perf_counter() - start
            if undivided:
                self.by_stage = False
                start = time.perf_counter()
                function()
                self.wait()
                self.seconds["all"] = time.perf_counter() - start
            runs.append(self.seconds)
        return {stage: [run[stage] for run in runs[1:]] for stage in runs[0]}


def by_stage(work: partial, repeat: int) -> dict[str, float]:
    """Return the seconds that a Faster R-CNN of ours takes for each stage of ``work``, its ``detect`` of an image."""
    detector, watch = work.func.__self__, Stopwatch()
    watch.watch("maps", detector, "backbone")
    watch.watch("rpn", detector.rpn)
    watch.watch("rpn head", detector.rpn, "head")
    watch.watch("RoI pooling", detector.roi_heads, "pool")
    watch.watch("box head", detector.roi_heads, "box_head")
    watch.watch("box head", detector.roi_heads, "box_predictor")
    seconds = {stage: statistics.median(runs) for stage, runs in watch.run(work, repeat, undivided=False).items()}
    seconds.setdefault("rpn head", 0.0)  # an engine's maps come with what the head predicts
    stages = {
        "maps, RPN head": seconds["maps"] + seconds["rpn head"],
        "box head": seconds["box head"],
        "proposals": seconds["rpn"] - seconds["rpn head"],
        "RoI pooling": seconds["RoI pooling"],
    }
    return stages | {"rest": seconds["staged"] - sum(stages.values())}


def table_by_stage(stages: dict[str, dict[str, float]], n: int) -> list[str]:
    """Return the lines of a table of :func:`by_stage` for each engine with n threads; none for none."""
    if not stages:
        return []
    names = list(next(iter(stages.values())))
    heads = f"stages, {n} threads", *(f"{name}, s" for name in names), "without maps and heads"
    lines = ["", f"| {' | '.join(heads)} |", "|---" + "|--:" * (len(names) + 1) + "|"]
    for engine, seconds in stages.items():
        share = sum(list(seconds.values())[2:]) / sum(seconds.values())
        lines.append(f"| {engine} | {' | '.join(f'{s:.3f}' for s in seconds.values())} | {100 * share:.0f}% |")
    return lines
