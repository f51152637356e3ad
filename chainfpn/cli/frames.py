"""Images and the frames of videos, one after another, ready for a detector."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from PIL import Image

from chainfpn._typing import Array
from chainfpn.cli.sources import Source
from chainfpn.cli.video import VideoReader
from chainfpn.images import ImageError, to_array


@dataclasses.dataclass
class Frame:
    """An image of a source, or why there is none.

    Attributes:
        index (int): Which source it is of.
        source (Source): The source.
        number (int or None): Which frame of a video it is, from 0.
        image (PIL.Image.Image or None): The image.
        problem (str or None): What is wrong, in a sentence.
        rate (float): Frames a second, of a video.
        array (array or None): float32, (3, H, W), what the detector takes.
    """

    index: int
    source: Source
    number: int | None = None
    image: Image.Image | None = None
    problem: str | None = None
    rate: float = 0.0
    array: Array = None

    @property
    def record(self) -> dict[str, Any]:
        """What tells it from the others in the results."""
        return {"file": self.source.name, **({} if self.number is None else {"frame": self.number})}


def read_frames(sources: Iterable[tuple[int, Source]], is_done: Callable[[Frame], bool]) -> Iterator[Frame]:
    """Read sources.

    Args:
        sources (iterable): Index and source of each.
        is_done (callable): Frame, without its image, to whether it is to be left out.

    Yields:
        Frame: Every image; a source that cannot be read gives one with a ``problem``.
    """
    for index, source in sources:
        yield from _read(index, source, is_done)


def _read(index, source, is_done):
    try:
        yield from _read_good(index, source, is_done)
    except ImageError as error:
        yield Frame(index, source, problem=str(error))


def _read_good(index, source, is_done):
    if not source.is_video:
        frame = Frame(index, source)
        if not is_done(frame):
            frame.image = source.read()
            frame.array = to_array(frame.image)
            yield frame
        return
    number = -1
    with VideoReader(source.name) as video:
        for number, image in enumerate(video):
            frame = Frame(index, source, number, rate=video.rate)
            if not is_done(frame):
                frame.image, frame.array = image, to_array(image)
                yield frame
    if number < 0:
        raise ImageError(f"{source.name}: has no frame that can be read")
