"""From photographs to the batch that ChainerCV's FPN detectors look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from chainercv import transforms

from chainfpn.links.detectors.preprocess import Preprocess

#: What ChainerCV subtracts from RGB in 0..255; it divides by nothing.
CHAINERCV_MEAN = (123.15163084, 115.90288257, 103.0626238)


class ChainerCVPreprocess(Preprocess):
    """Resize images, subtract the mean of each channel, and pad them to one batch.

    The resizing is ChainerCV's own: OpenCV's where that is installed, which does not filter when it makes an image
    smaller; Pillow's, which does, where it is not, unless ``chainer.config.cv_resize_backend`` names one of them. The
    heights and widths returned are the image's times the scale, not rounded to pixels: ChainerCV scales boxes by them.

    Args:
        min_size (int or sequence of int): See :class:`Preprocess`.
        max_size (int): See :class:`Preprocess`.

    Source:
        ChainerCV 0.13 ``FasterRCNN.prepare`` and ``scale_img`` of its FPN, and the mean of its ResNets.
    """

    on_device = False

    def __init__(self, min_size: int | Sequence[int] = 800, max_size: int = 1333) -> None:
        super().__init__(min_size, max_size, mean=CHAINERCV_MEAN, std=(1.0, 1.0, 1.0))

    @property
    def arguments(self) -> dict[str, Any]:
        """What builders call it, in JSON values."""
        return {key: value for key, value in super().arguments.items() if key in ("min_size", "max_size")}

    def _prepare(self, img, dtype):
        size = self._scaled(img.shape[1:])
        resized = transforms.resize(img.astype(np.float32), self._whole(size))  # (3, H', W')
        return resized.astype(dtype) - np.array(self.mean, dtype)[:, None, None], size

    def _scaled(self, size):
        """Return the height and width times the scale, which is a Python float."""
        scale = self._draw_min_size() / min(size)
        if scale * max(size) > self.max_size:
            scale = self.max_size / max(size)
        return tuple(side * scale for side in size)
