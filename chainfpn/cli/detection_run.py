"""Detect in many images: read, detect and draw in several threads, and write table, JSON and videos in order."""

import argparse
import contextlib
import dataclasses
import itertools
import pathlib
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np
from tqdm import tqdm

from chainfpn._typing import Communicator
from chainfpn.cli.console import compile_remark, has_colours, progress, remark, remarks
from chainfpn.cli.detector import names_of_labels
from chainfpn.cli.errors import CommandError
from chainfpn.cli.frames import Frame, find_frames
from chainfpn.cli.output import silence, writing_errors
from chainfpn.cli.overlap import in_order
from chainfpn.cli.pictures import Pictures
from chainfpn.cli.results import Table
from chainfpn.cli.results_writer import LINES, LIST, Record, coco_format, is_done, open_results
from chainfpn.cli.sources import Source
from chainfpn.functions.kernels import threads
from chainfpn.links import Detections, Detector

#: Batches that are worked on at a time at most: each takes the memory of a detection.
MAX_WORKERS = 4


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run over images goes.

    Attributes:
        out (pathlib.Path): Folder of the pictures; made if there is none.
        score (float): Only detections with a score above it count.
        names (sequence of str or None): Only detections of these labels count.
        batch (int): Images that the detector sees at a time.
        json (str or None): File for the JSON, ``-`` for standard output in place of the table.
        coco (bool): Write COCO's results.
        resume (bool): Leave out the images that are in the JSON.
        pictures (bool): Draw.
        quiet (bool): Show no progress.
        stdout (file): What ``-`` stands for.
        workers (int): Batches that are worked on at a time, each with its share of the threads.
    """

    out: pathlib.Path
    score: float = 0.5
    names: Sequence[str] | None = None
    batch: int = 1
    json: str | None = None
    coco: bool = False
    resume: bool = False
    pictures: bool = True
    quiet: bool = False
    stdout: TextIO = dataclasses.field(default_factory=lambda: sys.stdout)
    workers: int = 1

    @classmethod
    def of(cls, arguments: argparse.Namespace, workers: int) -> "RunOptions":
        """Return those of a command line, whose options have the names of the attributes."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "workers"]
        return cls(**{name: getattr(arguments, name) for name in names}, workers=workers)


def count_workers(sources: Sequence[Source], batch: int, n_threads: int) -> int:
    """Return how many batches to work on at a time: threads do more on images of their own than together on one."""
    n_batches = MAX_WORKERS if any(source.is_video for source in sources) else -(-len(sources) // batch)
    return max(1, min(n_batches, n_threads, MAX_WORKERS))


def detect_all(
    detector: Detector, sources: Sequence[Source], options: RunOptions, comm: Communicator = None, *, title: str = ""
) -> int:
    """Detect objects in images and videos, print a table, and write pictures and perhaps JSON.

    A source that cannot be read is named on stderr, and the rest goes on. A progress bar appears if there are several
    images and stderr is a terminal.

    Args:
        detector (chainfpn.links.Detector): The detector.
        sources (sequence of Source): The images.
        options (RunOptions): How.
        comm (chainermn.CommunicatorBase or None): The processes that share the sources; the first writes the JSON.
        title (str): A line above the table.

    Returns:
        int: 0, or 1 if a source could not be read.

    Raises:
        CommandError: if something cannot be written, or the detector does not know a name.
    """
    detector.score_thresh = options.score
    names = names_of_labels(detector)
    labels = _labels(names, options.names)
    with writing_errors(options.out), contextlib.ExitStack() as stack:
        writer = None
        if options.json is not None and (comm is None or comm.rank == 0):
            kind = LINES if options.json.endswith(".jsonl") else LIST
            kind = coco_format(tuple(detector.class_ids)) if options.coco else kind
            writer = stack.enter_context(open_results(options.json, kind, options.stdout, resume=options.resume))
        if options.json == "-":
            stack.enter_context(silence())
        if options.pictures:
            options.out.mkdir(parents=True, exist_ok=True)
        if detector.xp is np:
            stack.enter_context(compile_remark(remarks(options.quiet)))
        return _Run(detector, names, sources, options, writer, comm, labels)(title)


class _Run:
    """One run: what it goes through, and what it writes to."""

    def __init__(self, detector, names, sources, options, writer, comm, labels):
        self.detector, self.names, self.sources, self.options = detector, names, sources, options
        self.writer, self.comm, self.labels = writer, comm, labels
        self.table = Table([source.name for source in sources], names, coloured=has_colours(sys.stdout))
        self.pictures = Pictures(options.out, sources, detector, names, draws=options.pictures, keeps=options.resume)
        done = set() if writer is None else writer.done
        self.done = done if comm is None else comm.bcast_obj(done if comm.rank == 0 else None)
        self.turn = contextlib.nullcontext() if detector.xp is np else threading.Lock()
        self.n_bad = 0
        self.shared: list[tuple[int, int, Record]] = []

    def __call__(self, title):
        rank, n_processes = (0, 1) if self.comm is None else (self.comm.rank, self.comm.size)
        mine = [(i, source) for i, source in enumerate(self.sources) if i % n_processes == rank]
        if rank == 0:
            tqdm.write("\n".join([*filter(None, [title]), self.table.header()]), file=sys.stdout)
        endless = any(source.is_video for source in self.sources)
        alone = n_processes > 1 or (len(self.sources) == 1 and not endless)
        bar = progress(None, "image", total=None if endless else len(mine), quiet=self.options.quiet or alone)
        batches = _batches(find_frames(mine, self._is_done), self.options.batch)
        with bar, self.pictures, threads.shared_by(self.options.workers):
            for frames in in_order(self._work, batches, self.options.workers):
                for frame in frames:
                    self._write(frame)
                    bar.update()
        return self._end(rank)

    def _is_done(self, frame: Frame) -> bool:
        return self.pictures.has(frame) and is_done(self.done, frame.record)

    def _work(self, frames: list[Frame]) -> list[Frame]:
        """Read a batch, detect, and draw; in any thread."""
        for frame in frames:
            frame.read()
        good = [frame for frame in frames if frame.image is not None]
        with self.turn:  # a GPU works for one thread at a time
            if self.detector.xp is not np:
                self.detector.device.use()
            found = self._detect(good)
        for frame, detections in zip(good, found, strict=True):
            if detections is not None and frame.image is not None:
                frame.record |= {"width": frame.image.width, "height": frame.image.height}
                frame.record["detections"] = detections.to_json(self.names)
                self.pictures.draw(frame, detections)
        return frames

    def _detect(self, frames: list[Frame]) -> list[Detections | None]:
        """Detect in a batch; where the memory does not suffice, in one image after the other."""
        try:
            found = self.detector.detect([np.asarray(frame.image).transpose(2, 0, 1) for frame in frames])
            return [_only(detections, self.labels) for detections in found]
        except MemoryError:
            if len(frames) > 1:
                return [self._detect([frame])[0] for frame in frames]
            frames[0].problem = f"{frames[0].source.name}: is too large for the memory of the device"
            return [None]

    def _write(self, frame: Frame) -> None:
        """Write what was found in an image, in order."""
        if frame.problem is not None:
            remark(frame.problem)
            self.n_bad += 1
            return
        self.pictures.add(frame)
        if not is_done(self.done, frame.record):
            if self.comm is not None:
                self.shared.append((frame.index, frame.number or 0, frame.record))
            elif self.writer is not None:
                self.writer.add(frame.record)
        tqdm.write("\n".join(self.table.lines(frame.record)), file=sys.stdout)

    def _end(self, rank):
        """Gather what all processes have; print what was written."""
        written, n_bad = self.pictures.written, self.n_bad
        if self.comm is not None:
            written = list(itertools.chain(*self.comm.gather_obj(written) or ()))
            n_bad = self.comm.allreduce_obj(n_bad)
            shares = self.comm.gather_obj(self.shared)
            for *_, record in sorted(itertools.chain(*shares or ()), key=lambda share: share[:2]):
                if self.writer is not None:
                    self.writer.add(record)
        if rank == 0 and self.options.pictures:
            plural = "picture" if len(written) == 1 else f"{len(written)} pictures"
            print(f"{plural} written to {written[0] if len(written) == 1 else self.options.out}")
        return 1 if n_bad else 0


def _labels(known: Sequence[str], names: Sequence[str] | None) -> list[int] | None:
    """Return the labels of names, or None for all."""
    for name in names or ():
        if name not in known:
            raise CommandError(f"--names must be of the detector's, {', '.join(known)}, got {name}")
    return None if names is None else [known.index(name) for name in names]


def _only(detections: Detections, labels: list[int] | None) -> Detections:
    """Return the detections of some labels."""
    if labels is None:
        return detections
    kept = np.isin(detections.label, labels)
    fields = {entry.name: getattr(detections, entry.name) for entry in dataclasses.fields(detections)}
    return Detections(**{name: array if array is None else array[kept] for name, array in fields.items()})


def _batches(frames: Iterable[Frame], n: int) -> Iterator[list[Frame]]:
    iterator = iter(frames)
    while batch := list(itertools.islice(iterator, n)):
        yield batch
