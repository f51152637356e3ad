"""The keypoint branch: a heat map per box and keypoint, its targets and loss, and where its peak is in the image.

Shapes: R boxes of an image, R' boxes of a batch, K keypoints, P positive proposals, V visible keypoints in their boxes,
S cells a side.
"""

import functools
from collections.abc import Sequence
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import backend

from chainfpn._typing import Array, Arrays, Variable
from chainfpn.functions import resize_bilinear
from chainfpn.functions._gather import gather_class
from chainfpn.functions._losses import cross_entropy
from chainfpn.functions.kernels import compute_dtype
from chainfpn.links.detectors.detections import RawDetections, split_by_image
from chainfpn.links.detectors.keypoint_peaks import find_peaks
from chainfpn.links.layers import KAIMING, Convolution2D, IndexedSequential


def keypoint_head(in_channels: int, layers: Sequence[int] = (512,) * 8) -> IndexedSequential:
    """Make the convolutions of the branch: 3x3, each followed by ReLU.

    Args:
        in_channels (int): Channels of the pyramid.
        layers (sequence of int): Channels of each convolution.

    Returns:
        IndexedSequential: (R', in_channels, 14, 14) to (R', layers[-1], 14, 14).

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNNHeads``.
    """
    links = []
    for channels in layers:
        links += [Convolution2D(in_channels, channels, 3, pad=1, initialW=KAIMING), F.relu]
        in_channels = channels
    return IndexedSequential(*links)


class KeypointRCNNPredictor(chainer.Chain):
    """Heat maps of every keypoint at four times the resolution.

    Args:
        in_channels (int): Channels in.
        n_keypoint (int): Number of keypoints.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNNPredictor``.
    """

    def __init__(self, in_channels: int, n_keypoint: int) -> None:
        super().__init__()
        self.n_keypoint = n_keypoint
        with self.init_scope():
            self.kps_score_lowres = L.Deconvolution2D(in_channels, n_keypoint, 4, stride=2, pad=1, initialW=KAIMING)

    def forward(self, x: Variable) -> Variable:
        """Predict.

        Args:
            x (Variable): (R', in_channels, 14, 14).

        Returns:
            Variable: (R', K, 56, 56).
        """
        h = self.kps_score_lowres(x)  # (R', K, 28, 28)
        return resize_bilinear(h, (2 * h.shape[2], 2 * h.shape[3]))


def keypoints_to_heatmap(point: Array, visible: Array, bbox: Array, side: int) -> Array:
    """Find the cell of a grid over each box that has the keypoint: the targets of the loss.

    Args:
        point (array): float32, (P, K, 2), yx.
        visible (array): bool, (P, K).
        bbox (array): float, (P, 4), yxyx, none empty.
        side (int): Cells a side.

    Returns:
        array: int32, (P, K), row-major, -1 where the keypoint is not visible or not in the box. A keypoint right on
        the lower or right side is in the last row or column.

    Source:
        torchvision 0.14 ``keypoints_to_heatmap``.
    """
    xp = backend.get_array_module(bbox)
    scale = side / (bbox[:, 2:] - bbox[:, :2])  # (P, 2)
    cell = xp.floor((point - bbox[:, None, :2]) * scale[:, None])  # (P, K, 2)
    cell = xp.where(point == bbox[:, None, 2:], side - 1, cell)
    counts = visible & ((cell >= 0) & (cell < side)).all(axis=2)  # (P, K)
    cell = xp.where(counts[..., None], cell, 0).astype(np.int32)
    return xp.where(counts, cell[..., 0] * side + cell[..., 1], np.int32(-1))


def keypointrcnn_loss(logits: Variable, sampled: Sequence[Any], points: Arrays, visible: Arrays) -> Variable:
    """Compute the cross entropy over the cells of each heat map, one of which has the keypoint.

    Keypoints that are not visible, or outside the proposal, do not count.

    Args:
        logits (Variable): (P of all images, K, S, S), the first image's first.
        sampled (sequence of SampledProposals): Per image.
        points (sequence of array): Per image, float32, (R, K, 2), yx in pixels of the batch.
        visible (sequence of array): Per image, bool, (R, K).

    Returns:
        Variable: float32 or float64, (), the mean over the keypoints that count, or 0.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``keypointrcnn_loss``.
    """
    xp = backend.get_array_module(sampled[0].bbox)
    n_keypoint, side = logits.shape[1:3]
    cells = [
        keypoints_to_heatmap(point[image.matched], marked[image.matched], image.positive_bbox, side)
        for image, point, marked in zip(sampled, points, visible, strict=True)
    ]
    cell = xp.concatenate(cells).ravel()  # (P * K,)
    (seen,) = xp.nonzero(cell >= 0)  # (V,)
    maps = gather_class(logits, seen // n_keypoint, seen % n_keypoint, (side * side,))  # (V, S * S)
    return cross_entropy(maps, cell[seen], divisor=max(len(seen), 1))


def keypointrcnn_inference(
    logits: Array, detections: Sequence[RawDetections], *, probabilities: bool = False
) -> list[RawDetections]:
    """Add its keypoints to each detection.

    Args:
        logits (array): (R', K, S, S), the first image's first.
        detections (sequence of RawDetections): Per image.
        probabilities (bool): Score a keypoint by the exponential of its logit over the sum of those of its map.

    Returns:
        list of RawDetections: With ``point`` and ``point_score``.

    Source:
        torchvision 0.14 ``keypointrcnn_inference``; with probabilities, detectron2 0.6 ``heatmaps_to_keypoints``.
    """
    xp = backend.get_array_module(logits)
    bboxes = [found.bbox for found in detections]
    point, score = heatmaps_to_keypoints(logits, xp.concatenate(bboxes))
    if probabilities:
        score = 1 / xp.exp(logits.astype(score.dtype, copy=False) - score[..., None, None]).sum(axis=(2, 3))
    images = zip(detections, split_by_image(point, bboxes), split_by_image(score, bboxes), strict=True)
    return [found._replace(point=points, point_score=scores) for found, points, scores in images]


def heatmaps_to_keypoints(heat: Array, bbox: Array) -> tuple[Array, Array]:
    """Find the peak of each heat map, enlarged bicubically to the pixels of its box.

    Args:
        heat (array): float, (R, K, S, S). float16 is computed in float32: a peak needs more digits.
        bbox (array): float, (R, 4), yxyx.

    Returns:
        tuple of array: The points, (R, K, 2), yx, at centres of pixels, and their logits, (R, K).

    Source:
        torchvision 0.14 ``heatmaps_to_keypoints``.
    """
    precise = compute_dtype(heat.dtype)
    bbox = bbox.astype(precise, copy=False)
    if not isinstance(heat, np.ndarray):
        return find_peaks(heat, bbox)
    heat = heat.astype(precise, copy=False)
    n_keypoint, side = heat.shape[1:3]
    point, score = np.zeros((*heat.shape[:2], 2), heat.dtype), np.zeros(heat.shape[:2], heat.dtype)
    keypoints = np.arange(n_keypoint)
    for i, maps in enumerate(heat):
        size = np.maximum(bbox[i, 2:] - bbox[i, :2], 1)  # (2,)
        height, width = (int(n) for n in np.ceil(size))
        rows, columns = _bicubic(height, side, heat.dtype.str), _bicubic(width, side, heat.dtype.str)
        large = rows @ maps @ columns.T  # (K, height, width)
        y, x = np.divmod(large.reshape(n_keypoint, -1).argmax(axis=1), width)  # (K,), (K,)
        pixel = (size / np.array((height, width), dtype=size.dtype)).astype(heat.dtype)
        point[i] = (np.stack((y, x), axis=1).astype(heat.dtype) + heat.dtype.type(0.5)) * pixel + bbox[i, :2]
        score[i] = large[keypoints, y, x]
    return point, score


@functools.lru_cache(maxsize=256)
def _bicubic(n_out, n_in, dtype):
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
