"""Images and the frames of videos, one after another, on their way through a run."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from PIL import Image

from chainfpn.cli.sources import Source
from chainfpn.cli.video import VideoReader
from chainfpn.images import ImageError


@dataclasses.dataclass
class Frame:
    """An image of a source, or why there is none.

    Attributes:
        index (int): Which source it is of.
        source (Source): The source.
        number (int or None): Which frame of a video it is, from 0.
        rate (float): Frames a second, of a video.
        image (PIL.Image.Image or None): The image, in mode RGB; in the end, of a video, with what was found drawn.
        problem (str or None): What is wrong, in a sentence.
        record (dict): What is written of it; at first what tells it from the others in the results.
    """

    index: int
    source: Source
    number: int | None = None
    rate: float = 0.0
    image: Image.Image | None = None
    problem: str | None = None
    record: dict[str, Any] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.record = {"file": self.source.name, **({} if self.number is None else {"frame": self.number})}

    def read(self) -> None:
        """Read the image, unless it is there already."""
        try:
            if self.image is None and self.problem is None:
                self.image = self.source.read()
        except ImageError as error:
            self.problem = str(error)


def find_frames(sources: Iterable[tuple[int, Source]], is_done: Callable[[Frame], bool]) -> Iterator[Frame]:
    """Go through sources.

    Args:
        sources (iterable): Index and source of each.
        is_done (callable): Frame, without its image, to whether it is to be left out.

    Yields:
        Frame: Every image, which is still to be read, and every frame of a video, which is not; a video that cannot be
        read gives one with a ``problem``.
    """
    for index, source in sources:
        if source.is_video:
            yield from _frames_of_video(index, source, is_done)
        elif not is_done(frame := Frame(index, source)):
            yield frame


def _frames_of_video(index, source, is_done):
    number = -1
    try:
        with VideoReader(source.name) as video:
            for number, image in enumerate(video):
                frame = Frame(index, source, number, video.rate)
                if not is_done(frame):
                    frame.image = image
                    yield frame
        if number < 0:
            raise ImageError(f"{source.name}: has no frame that can be read")
    except ImageError as error:
        yield Frame(index, source, problem=str(error))
