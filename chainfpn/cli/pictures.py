"""The pictures and videos that a run over images writes."""

import pathlib
from collections.abc import Sequence

from chainfpn.cli.drawing import draw
from chainfpn.cli.frames import Frame
from chainfpn.cli.overlays import min_point_score
from chainfpn.cli.results import picture_paths, save_picture
from chainfpn.cli.sources import Source
from chainfpn.cli.video import VideoWriter
from chainfpn.links import Detections, Detector


class Pictures:
    """Draw what was found; a context manager, whose end completes the last video.

    Args:
        out (pathlib.Path): The folder.
        sources (sequence of Source): Every source of the run.
        detector (chainfpn.links.Detector): Whose detections they are.
        names (sequence of str): Name of each label.
        draws (bool): Whether there are pictures at all.
        keeps (bool): Leave videos that are there already.

    Attributes:
        written (list of pathlib.Path): The files so far.
    """

    def __init__(
        self, out: pathlib.Path, sources: Sequence[Source], detector: Detector, names: Sequence[str], *,
        draws: bool, keeps: bool,
    ) -> None:  # fmt: skip
        self._min_point_score = min_point_score(detector)
        self._paths, self._names = picture_paths(out, sources), names
        self._kept = {
            path
            for path, source in zip(self._paths, sources, strict=True)
            if not draws or (keeps and source.is_video and path.exists())
        }
        self._video: VideoWriter | None = None
        self.written: list[pathlib.Path] = []

    def has(self, frame: Frame) -> bool:
        """Return whether a frame need not be drawn once more for the sake of its video."""
        return frame.number is None or self._paths[frame.index] in self._kept

    def draw(self, frame: Frame, detections: Detections) -> None:
        """Draw what was found in an image, which is written, or in a frame of a video; in any thread.

        Args:
            frame (Frame): The image, which is replaced.
            detections (Detections): What was found in it.

        Raises:
            OSError: if the picture cannot be written.
        """
        path, image, frame.image = self._paths[frame.index], frame.image, None
        if path in self._kept or image is None:
            return
        picture = draw(image, detections, self._names, min_point_score=self._min_point_score)
        if frame.number is None:
            save_picture(picture, path)
        else:
            frame.image = picture

    def add(self, frame: Frame) -> None:
        """Take what :meth:`draw` drew, in order: note its file, or append it to its video.

        Args:
            frame (Frame): The image.

        Raises:
            OSError: if the video cannot be written.
        """
        path = self._paths[frame.index]
        if path in self._kept:
            return
        if self._video is not None and self._video.path != path:
            self._close(complete=True)
        if frame.image is None:
            self.written.append(path)
            return
        if self._video is None:
            self._video = VideoWriter(path, frame.rate)
        self._video.add(frame.image)

    def __enter__(self) -> "Pictures":
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        self._close(complete=kind is None)

    def _close(self, *, complete):
        if self._video is not None:
            self._video.close(complete=complete)
            self.written += [self._video.path] if complete else []
            self._video = None
