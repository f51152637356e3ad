"""Loss of the keypoint branch."""

import numpy as np
from chainer import backend

from chainfpn.functions._cross_entropy import cross_entropy
from chainfpn.functions._gather_class import gather_class


def keypoint_loss(logits, regions, points, visible):
    """Compute the cross entropy over the cells of a heat map, one of which has the keypoint.

    Keypoints that are not visible, or outside the region, do not count.

    Args:
        logits (Variable): (P, K, S, S), of the regions that show something, those of the first image first; P > 0.
        regions (list of SampledProposals): Per image.
        points (list of array): Per image, float32, (R_i, K, 2), yx in pixels of the batch.
        visible (list of array): Per image, bool, (R_i, K).

    Returns:
        Variable: float32 or float64, (), the mean over the keypoints that count, or 0.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``keypointrcnn_loss``.
    """
    xp = backend.get_array_module(regions[0].bbox)
    n_keypoint, side = logits.shape[1:3]
    cells = [
        keypoint_cells(point[region.matched], marked[region.matched], region.bbox[region.output > 0], side)
        for region, point, marked in zip(regions, points, visible, strict=True)
    ]
    cell = xp.concatenate(cells).ravel()  # (P * K,)
    (seen,) = xp.nonzero(cell >= 0)
    maps = gather_class(logits, *xp.divmod(seen, n_keypoint), (side * side,))  # (V, S * S)
    return cross_entropy(maps, cell[seen], divisor=max(len(seen), 1))


def keypoint_cells(point, visible, bbox, side):
    """Find the cell of a grid over each box that has the keypoint.

    Args:
        point (array): float32, (P, K, 2), yx.
        visible (array): bool, (P, K).
        bbox (array): float, (P, 4), yxyx, none empty.
        side (int): Rows and columns of the grid.

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
