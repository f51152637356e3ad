"""Images detected together where a GPU computes, which starts as many kernels for one as for several."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels.uploads import upload_ahead
from chainfpn.links import Detections, Detector

#: Images in a list, one or none, and what comes with them.
Example: TypeAlias = tuple[list[Array], Any]

#: Images of one size that a GPU detects at once, and images of other sizes that wait for their like meanwhile.
MOST_IMAGES = 8
MOST_WAITING = 24


class ImageBatches:
    """Detects in examples: on a GPU in several of one size at once, so that none is padded for another.

    Args:
        detector (chainfpn.links.Detector): The detector.
        examples (iterable of tuple): A list of one image or none, and whatever comes with it.

    Attributes:
        most (int): Images at once; where the memory does not suffice, half as many from then on.
    """

    def __init__(self, detector: Detector, examples: Iterable[Example]) -> None:
        self._detector, self._examples = detector, examples
        self._on_gpu = getattr(detector, "xp", np) is not np
        self.most = MOST_IMAGES if self._on_gpu else 1

    def __iter__(self) -> Iterator[tuple[Detections | None, Any]]:
        """Yield what was found, None in no image and in one too large for the memory, and what came with the image."""
        batches = self._batches()
        ahead = self._on_gpu and getattr(self._detector.preprocess, "on_device", False)
        for imgs, others in upload_ahead(batches) if ahead else batches:
            found = self._detect(imgs) if imgs else [None]
            yield from zip(found, others, strict=True)

    def _batches(self) -> Iterator[tuple[list[Array], list]]:
        """Yield lists of images of one shape, and what comes with them."""
        waiting: dict[tuple, list[Example]] = {}
        for imgs, other in self._examples:
            if not imgs:
                yield [], [other]
                continue
            shape = imgs[0].shape
            group = waiting.setdefault(shape, [])
            group.append((imgs, other))
            if len(group) >= self.most:
                yield _join(waiting.pop(shape))
            elif sum(map(len, waiting.values())) > MOST_WAITING:
                yield _join(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
        yield from map(_join, waiting.values())

    def _detect(self, imgs: list[Array]) -> list[Detections | None]:
        try:
            return [*self._detector.detect(imgs)]
        except MemoryError:
            if len(imgs) == 1:
                return [None]
        half = len(imgs) // 2
        self.most = min(self.most, half)
        return self._detect(imgs[:half]) + self._detect(imgs[half:])


def _join(examples):
    return [img for imgs, _ in examples for img in imgs], [other for _, other in examples]
