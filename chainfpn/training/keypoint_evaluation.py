"""COCO's figures of keypoints, computed by pycocotools."""

from collections.abc import Iterable, Sequence

import numpy as np

from chainfpn._typing import Array
from chainfpn.training.coco_evaluation import ALL_IOUS, annotations, check_lengths, figures

#: Name of each figure, as in :data:`~chainfpn.training.coco_evaluation.FIGURES`; the IoU is the keypoint similarity.
KEYPOINT_FIGURES = {
    **{"AP": (ALL_IOUS, "all", 20), "AP50": ("0.50", "all", 20), "AP75": ("0.75", "all", 20)},
    **{"APm": (ALL_IOUS, "medium", 20), "APl": (ALL_IOUS, "large", 20)},
    **{"AR": (ALL_IOUS, "all", 20), "AR50": ("0.50", "all", 20), "AR75": ("0.75", "all", 20)},
    **{"ARm": (ALL_IOUS, "medium", 20), "ARl": (ALL_IOUS, "large", 20)},
}
#: Standard deviation of where people mark a keypoint, relative to the size of the object; of both sides.
_SIGMAS = {
    **{"nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062},
    **{"hip": 0.107, "knee": 0.087, "ankle": 0.089},
}
_BY_NAME = {f"{side}{name}": v for name, v in _SIGMAS.items() for side in ("", "left_", "right_")}


def oks_sigmas(names: Sequence[str]) -> Array:
    """Return by how much places of each keypoint may differ in the object keypoint similarity.

    Args:
        names (sequence of str): Names of the keypoints.

    Returns:
        array: float64, (K,): COCO's for the names that COCO has, for any other the mean of those.

    Source:
        cocodataset.org/#keypoints-eval; pycocotools ``Params.kpt_oks_sigmas``.
    """
    mean = float(np.mean(list(_SIGMAS.values())))
    return np.array([_BY_NAME.get(name, mean) for name in names])


def evaluate_keypoints(
    pred_bboxes: Iterable[Array],
    pred_labels: Iterable[Array],
    pred_scores: Iterable[Array],
    pred_points: Iterable[Array],
    gt_bboxes: Iterable[Array],
    gt_labels: Iterable[Array],
    gt_points: Iterable[Array],
    gt_visibles: Iterable[Array],
    *,
    sigmas: Array,
    gt_areas: Iterable[Array] | None = None,
    gt_crowdeds: Iterable[Array] | None = None,
) -> dict[str, float]:
    """Compute COCO's figures of keypoints; arguments that are not here are those of :func:`evaluate_coco`.

    Args:
        pred_points (iterable of array): float, (R, K, 2), yx.
        gt_points (iterable of array): float, (R', K, 2), yx.
        gt_visibles (iterable of array): bool, (R', K); objects of which no keypoint is visible are ignored.
        sigmas (array): float, (K,), such as :func:`oks_sigmas` returns.

    Returns:
        dict: From the names in :data:`KEYPOINT_FIGURES` to float; nan where there is no ground truth.

    Raises:
        ImportError: if pycocotools is not installed.
        ValueError: if there are not equally many entries.

    Source:
        cocodataset.org/#keypoints-eval; pycocotools ``COCOeval``.
    """
    bboxes, gt_bboxes = list(pred_bboxes), list(gt_bboxes)
    check_lengths(bboxes, gt_bboxes)
    detections = annotations(bboxes, pred_labels, score=pred_scores, point=pred_points)
    optional = {"area": gt_areas, "crowded": gt_crowdeds}
    ground_truth = annotations(gt_bboxes, gt_labels, point=gt_points, visible=gt_visibles, **optional)
    return figures(len(bboxes), ground_truth, detections, "keypoints", KEYPOINT_FIGURES, sigmas)
