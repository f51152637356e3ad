"""Detect in many images: read ahead, detect in batches, and write table, pictures and JSON behind."""

import contextlib
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np
from tqdm import tqdm

from chainfpn._typing import Communicator
from chainfpn.cli.console import compile_remark, has_colours, progress, remark, remarks
from chainfpn.cli.errors import CommandError
from chainfpn.cli.frames import Frame, read_frames
from chainfpn.cli.output import silence, writing_errors
from chainfpn.cli.overlap import Behind, ahead
from chainfpn.cli.pictures import Pictures
from chainfpn.cli.results import Table
from chainfpn.cli.results_writer import LINES, LIST, Record, ResultsWriter, coco_format, is_done, open_results
from chainfpn.cli.sources import Source
from chainfpn.links import Detections, Detector


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
    labels = _labels(detector, options.names)
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
        return _Run(detector, sources, options, writer, comm, labels)(title)


class _Run:
    """One run: what it goes through, and what it writes to."""

    def __init__(self, detector, sources, options, writer, comm, labels):
        self.detector, self.sources, self.options, self.comm, self.labels = detector, sources, options, comm, labels
        self.writer: ResultsWriter | None = writer
        self.names = detector.label_names or [str(i) for i in range(detector.n_fg_class)]
        self.table = Table([source.name for source in sources], self.names, coloured=has_colours(sys.stdout))
        self.pictures = Pictures(
            options.out, sources, detector, self.names, draws=options.pictures, keeps=options.resume
        )
        done = set() if writer is None else writer.done
        self.done = done if comm is None else comm.bcast_obj(done if comm.rank == 0 else None)
        self.n_bad = 0
        self.shared: list[tuple[int, int, Record]] = []

    def __call__(self, title):
        rank, n_processes = (0, 1) if self.comm is None else (self.comm.rank, self.comm.size)
        mine = [(i, source) for i, source in enumerate(self.sources) if i % n_processes == rank]
        if rank == 0:
            tqdm.write("\n".join([*filter(None, [title]), self.table.header()]), file=sys.stdout)
        endless = any(source.is_video for source in self.sources)
        alone = n_processes > 1 or (len(self.sources) == 1 and not endless)
        bar = progress(None if endless else len(mine), "image", quiet=self.options.quiet or alone)
        waiting = 2 * self.options.batch
        with bar, self.pictures, Behind(waiting) as behind:
            for frames in _batches(ahead(read_frames(mine, self._is_done), waiting), self.options.batch):
                for frame, detections in self._detect(frames):
                    behind.submit(self._write, frame, detections)
                    bar.update()
        return self._end(rank)

    def _is_done(self, frame: Frame) -> bool:
        return self.pictures.has(frame) and is_done(self.done, frame.record)

    def _detect(self, frames: list[Frame]) -> Iterator[tuple[Frame, Detections | None]]:
        """Detect in a batch; where the memory does not suffice, in one image after the other."""
        good = [frame for frame in frames if frame.problem is None]
        try:
            found = iter(self.detector.detect([frame.array for frame in good]))
        except MemoryError:
            if len(frames) > 1:
                yield from itertools.chain.from_iterable(self._detect([frame]) for frame in frames)
                return
            good[0].problem = f"{good[0].source.name}: is too large for the memory of the device"
        for frame in frames:
            frame.array = None
            yield frame, None if frame.problem else _only(next(found), self.labels)

    def _write(self, frame: Frame, detections: Detections) -> None:
        """Write what was found in an image; in a thread of its own, in order."""
        if frame.problem is not None or frame.image is None:
            remark(str(frame.problem))
            self.n_bad += 1
            return
        self.pictures.add(frame, detections)
        size = {"width": frame.image.width, "height": frame.image.height}
        record = {**frame.record, **size, "detections": detections.to_json(self.names)}
        if not is_done(self.done, frame.record):
            if self.comm is not None:
                self.shared.append((frame.index, frame.number or 0, record))
            elif self.writer is not None:
                self.writer.add(record)
        tqdm.write("\n".join(self.table.lines(record)), file=sys.stdout)

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


def _labels(detector: Detector, names: Sequence[str] | None) -> list[int] | None:
    """Return the labels of names, or None for all."""
    known = detector.label_names or [str(i) for i in range(detector.n_fg_class)]
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
