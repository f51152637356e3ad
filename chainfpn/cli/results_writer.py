"""JSON of a run over images that can be read at any time: what is written of an image is whole, or not there."""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TextIO

from chainfpn.cli.errors import CommandError

#: What is written of one image: its ``file``, of a video ``frame``, ``width``, ``height``, and ``detections`` as
#: :meth:`chainfpn.links.Detections.to_json` has them.
Record = dict[str, Any]


class Format(NamedTuple):
    """How records become text.

    Attributes:
        head (str): Before the first value.
        between (str): Between two of them; a line each.
        tail (str): After the last one.
        values (callable): Record to the JSON values that stand for it.
        key (callable): A value to what tells its image from the others; any hashable.
    """

    head: str
    between: str
    tail: str
    values: Callable[[Record], list[Any]]
    key: Callable[[Any], Any]

    @property
    def empty(self) -> str:
        """The text of no value at all."""
        return (self.head + self.tail).replace("\n \n", "\n")


def _image(record: Record) -> Any:
    return record["file"], record.get("frame")


#: The records themselves, as one list, or a line each.
LIST = Format("[\n ", ",\n ", "\n]\n", lambda record: [record], _image)
LINES = LIST._replace(head="", between="\n", tail="\n")


def coco_format(class_ids: tuple[int, ...]) -> Format:
    """Return COCO's format of results: boxes, masks and keypoints, by the category of each label.

    An image without a detection is not in it.
    """

    def values(record: Record) -> list[Any]:
        return [{"image_id": image_id(record), **_result(found, class_ids)} for found in record["detections"]]

    return LIST._replace(values=values, key=lambda value: value["image_id"])


def image_id(record: Record) -> int | str:
    """Return what COCO calls an image: the number that its file is called by, or else the file."""
    stem = pathlib.PurePath(record["file"]).stem
    if "frame" in record:
        return f"{record['file']}#{record['frame']}"
    return int(stem) if stem.isdecimal() else record["file"]


def is_done(done: set[Any], record: Record) -> bool:
    """Return whether an image was taken over from an earlier run; of its record only ``file`` and ``frame`` count."""
    return bool(done) and (_image(record) in done or image_id(record) in done)


def _result(found: dict[str, Any], class_ids: tuple[int, ...]) -> dict[str, Any]:
    runs = {**found["mask"], "counts": compress(found["mask"]["counts"])} if "mask" in found else None
    return coco_result(class_ids[found["label"]], found["bbox"], found["score"], runs, found.get("point"))


def coco_result(
    category_id: Any, bb: Sequence[float], score: float, runs: dict | None, point: Sequence[Sequence[float]] | None
) -> dict[str, Any]:
    """Return an entry of COCO's results, without its image; box yxyx, mask as COCO's run lengths, keypoints (K, 2)."""
    y_min, x_min, y_max, x_max = bb
    result = {"category_id": category_id, "bbox": [x_min, y_min, x_max - x_min, y_max - y_min], "score": score}
    if runs is not None:
        result["segmentation"] = runs
    if point is not None:
        result["keypoints"] = [value for y, x in point for value in (x, y, 1)]
    return result


def compress(counts: list[int]) -> str:
    """Compress run lengths as COCO does: differences to the run before the last, five bits a letter.

    Args:
        counts (list of int): Lengths of runs, the first one of zeros.

    Returns:
        str: What pycocotools calls ``counts``.

    Example:
        >>> compress([6, 1, 40, 4, 5])
        '61X13mN'
    """
    letters = []
    for i, count in enumerate(counts):
        rest = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = rest != (-1 if bits & 16 else 0)
            letters.append(chr(48 + bits + (32 if more else 0)))
    return "".join(letters)


class ResultsWriter:
    """Write what was found in images to a file that is valid JSON after every image.

    Args:
        file (file): Open for reading and writing, unbuffered.
        format (Format): What to write.

    Attributes:
        done (set): The images that :meth:`resume` found.
    """

    def __init__(self, file: Any, format: Format) -> None:
        self._file, self._format, self._end = file, format, 0
        self.done: set[Any] = set()

    def resume(self, lines: Iterable[bytes]) -> None:
        """Take over what is there, but for the last image, which may not be whole.

        Args:
            lines (iterable of bytes): The content of the file.

        Raises:
            CommandError: if it is not what such a run wrote.
        """
        position, last, begin = 0, None, 0
        for line in lines:
            text = line.strip().rstrip(b",")
            if text not in (b"[", b"]", b""):
                try:
                    found = self._format.key(json.loads(text))
                except (ValueError, KeyError, TypeError) as error:
                    if isinstance(error, ValueError) and not line.endswith(b"\n"):
                        break  # it was not written to its end
                    name = getattr(self._file, "name", "")
                    raise CommandError(f"{name}: is not what this --json writes, and cannot be resumed") from error
                begin = begin if found == last else self._end
                last = found
                self.done.add(found)
                self._end = position + len(line.rstrip().rstrip(b","))
            position += len(line)
        self.done.discard(last)
        self._end = begin

    def start(self) -> None:
        """Make the file one without the images to come."""
        self._file.truncate(self._end)
        self._write(self._format.tail if self._end else self._format.empty)

    def add(self, record: Record) -> None:
        """Append what was found in an image."""
        values = self._format.between.join(map(json.dumps, self._format.values(record)))
        if values:
            text = (self._format.between if self._end else self._format.head) + values
            self._write(text + self._format.tail)
            self._end += len(text.encode())

    def _write(self, text: str) -> None:
        self._file.seek(self._end)
        data = memoryview(text.encode())
        while data:
            data = data[self._file.write(data) :]


class _Printer(ResultsWriter):
    """The same on a stream that cannot go back: it is valid when it has ended."""

    def start(self) -> None:
        """Print nothing yet."""

    def finish(self) -> None:
        """Print the end."""
        self._file.write(self._format.tail if self._end else self._format.empty)

    def _write(self, text: str) -> None:
        self._file.write(text.removesuffix(self._format.tail))
        self._file.flush()


@contextlib.contextmanager
def open_results(path: str, format: Format, stdout: TextIO, *, resume: bool = False) -> Iterator[ResultsWriter]:
    """Open what ``--json`` names.

    Args:
        path (str): The file, or ``-`` for ``stdout``.
        format (Format): What to write.
        stdout (file): Open for writing text.
        resume (bool): Go on with what is there.

    Yields:
        ResultsWriter: Takes the records.

    Raises:
        CommandError: if the file is to be resumed and is not what such a run wrote.
        OSError: naming the file if it cannot be written.
    """
    if path == "-":
        printer = _Printer(stdout, format)
        yield printer
        printer.finish()
        return
    flags = os.O_RDWR | os.O_CREAT | (0 if resume else os.O_TRUNC)
    with open(path, "r+b", buffering=0, opener=lambda name, _: os.open(name, flags, 0o666)) as file:
        writer = ResultsWriter(file, format)
        if resume:
            with open(path, "rb") as lines:
                writer.resume(lines)
        writer.start()
        yield writer
