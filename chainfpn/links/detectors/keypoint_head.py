"""The keypoint branch: a heat map per region and keypoint, and where its peak is in the image."""

import functools

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import initializers

from chainfpn.functions import resize_bilinear
from chainfpn.links.convolution_2d import Convolution2D
from chainfpn.links.indexed_sequential import IndexedSequential


def keypoint_head(in_channels, channels=512, n_layers=8):
    """Make the convolutions of the branch: 3x3, each followed by ReLU.

    Args:
        in_channels (int): Channels of the pyramid.
        channels (int): Channels of the convolutions.
        n_layers (int): How many there are.

    Returns:
        IndexedSequential: (R', in_channels, 14, 14) to (R', channels, 14, 14).

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNNHeads``.
    """
    layers = []
    for _ in range(n_layers):
        kaiming = initializers.HeNormal(fan_option="fan_out")
        layers += [Convolution2D(in_channels, channels, 3, pad=1, initialW=kaiming), F.relu]
        in_channels = channels
    return IndexedSequential(*layers)


class KeypointRCNNPredictor(chainer.Chain):
    """Heat maps of every keypoint at four times the resolution.

    Args:
        in_channels (int): Channels in.
        n_keypoint (int): Number of keypoints.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNNPredictor``.
    """

    def __init__(self, in_channels, n_keypoint):
        super().__init__()
        self.n_keypoint = n_keypoint
        with self.init_scope():
            kaiming = initializers.HeNormal(fan_option="fan_out")
            self.kps_score_lowres = L.Deconvolution2D(in_channels, n_keypoint, 4, stride=2, pad=1, initialW=kaiming)

    def forward(self, x):
        """Predict.

        Args:
            x (Variable): (R', in_channels, 14, 14).

        Returns:
            Variable: (R', n_keypoint, 56, 56).
        """
        h = self.kps_score_lowres(x)  # (R', K, 28, 28)
        return resize_bilinear(h, (2 * h.shape[2], 2 * h.shape[3]))  # (R', K, 56, 56)


def find_keypoints(heat, bbox):
    """Find the peak of each heat map, enlarged bicubically to the pixels of its box.

    Args:
        heat (array): float, (R, K, S, S), numpy.
        bbox (array): float, (R, 4), yxyx, numpy.

    Returns:
        tuple of array: The points, (R, K, 2), yx, at centres of pixels, and their logits, (R, K).

    Source:
        torchvision 0.14 ``heatmaps_to_keypoints``.
    """
    n_keypoint, side = heat.shape[1:3]
    point, score = np.zeros((*heat.shape[:2], 2), heat.dtype), np.zeros(heat.shape[:2], heat.dtype)
    keypoints = np.arange(n_keypoint)
    for i, maps in enumerate(heat):
        size = np.maximum(bbox[i, 2:] - bbox[i, :2], 1)  # (2,)
        height, width = (int(n) for n in np.ceil(size))
        rows, columns = _bicubic(side, height, heat.dtype.str), _bicubic(side, width, heat.dtype.str)
        large = rows @ maps @ columns.T  # (K, height, width)
        y, x = np.divmod(large.reshape(n_keypoint, -1).argmax(axis=1), width)  # (K,), (K,)
        pixel = (size / np.array((height, width), dtype=size.dtype)).astype(heat.dtype)
        point[i] = (np.stack((y, x), axis=1).astype(heat.dtype) + heat.dtype.type(0.5)) * pixel + bbox[i, :2]
        score[i] = large[keypoints, y, x]
    return point, score


@functools.lru_cache(maxsize=256)
def _bicubic(n_in, n_out, dtype):
    """Make the matrix (n_out, n_in) of a cubic enlargement (Keys, a = -0.75), the border repeated outwards."""
    position = (np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5  # (n_out,)
    first = np.floor(position).astype(np.int64)
    matrix = np.zeros((n_out, n_in))
    for tap in range(-1, 3):
        distance = np.abs(position - (first + tap))
        near = ((1.25 * distance) - 2.25) * distance**2 + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        np.add.at(
            matrix,
            (np.arange(n_out), np.clip(first + tap, 0, n_in - 1)),
            np.where(distance <= 1, near, np.where(distance < 2, far, 0)),
        )
    return matrix.astype(dtype)
