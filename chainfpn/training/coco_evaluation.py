"""COCO's twelve figures, computed by pycocotools."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainfpn._typing import Array

#: Name of the thresholds that the first figure is a mean over.
ALL_IOUS = "0.50:0.95"
_AREAS = ("small", "medium", "large")
#: Name of each figure: IoU thresholds, areas of the ground truth, most detections per image; in pycocotools' order.
FIGURES = {
    **{"AP": (ALL_IOUS, "all", 100), "AP50": ("0.50", "all", 100), "AP75": ("0.75", "all", 100)},
    **{f"AP{area[0]}": (ALL_IOUS, area, 100) for area in _AREAS},
    **{f"AR{most}": (ALL_IOUS, "all", most) for most in (1, 10, 100)},
    **{f"AR{area[0]}": (ALL_IOUS, area, 100) for area in _AREAS},
}


def evaluate_coco(
    pred_bboxes: Iterable[Array],
    pred_labels: Iterable[Array],
    pred_scores: Iterable[Array],
    gt_bboxes: Iterable[Array],
    gt_labels: Iterable[Array],
    *,
    gt_areas: Iterable[Array] | None = None,
    gt_crowdeds: Iterable[Array] | None = None,
    pred_masks: Iterable[Array] | None = None,
    gt_masks: Iterable[Array] | None = None,
) -> dict[str, dict[str, float]]:
    """Compute COCO's figures of detections.

    Every argument has an entry per image. Masks may also be lists of what :func:`run_lengths` returns. Of images
    whose detections have the same scores, the first counts first.

    Args:
        pred_bboxes (iterable of array): float, (R, 4), yxyx.
        pred_labels (iterable of array): int, (R,).
        pred_scores (iterable of array): float, (R,).
        gt_bboxes (iterable of array): float, (R', 4), yxyx.
        gt_labels (iterable of array): int, (R',).
        gt_areas (iterable of array or None): float, (R',), which decide what is small, medium and large; by default
            the areas of the masks, or else of the boxes.
        gt_crowdeds (iterable of array or None): bool, (R',), ground truth that is ignored.
        pred_masks (iterable of array or None): bool, (R, H, W).
        gt_masks (iterable of array or None): bool, (R', H, W).

    Returns:
        dict: ``'box'`` and, if there are both kinds of masks, ``'mask'``, each a dict from the names in
        :data:`FIGURES` to float; nan where there is no ground truth.

    Raises:
        ImportError: if pycocotools is not installed.
        ValueError: if there are not equally many entries.

    Source:
        Lin et al. 2014; pycocotools ``COCOeval``.
    """
    has_masks = pred_masks is not None and gt_masks is not None
    bboxes, labels, scores, gt_bboxes = map(list, (pred_bboxes, pred_labels, pred_scores, gt_bboxes))
    optional = {"area": gt_areas, "crowded": gt_crowdeds, "mask": gt_masks if has_masks else None}
    ground_truth = annotations(gt_bboxes, gt_labels, **optional)
    check_lengths(bboxes, gt_bboxes)
    boxes = annotations(bboxes, labels, score=scores)
    found = {"box": figures(len(bboxes), ground_truth, boxes, "bbox")}
    if has_masks:
        masks = annotations(bboxes, labels, score=scores, mask=pred_masks)
        found["mask"] = figures(len(bboxes), ground_truth, masks, "segm")
    return found


def run_lengths(mask: Array | list[dict]) -> list[dict]:
    """Compress masks.

    Args:
        mask (array or list): bool, (R, H, W), or what this function has returned.

    Returns:
        list of dict: pycocotools' run lengths, an entry per mask.

    Raises:
        ImportError: if pycocotools is not installed.
    """
    if isinstance(mask, list):
        return mask
    from pycocotools import mask as coco_mask

    return coco_mask.encode(np.asfortranarray(mask.transpose(1, 2, 0).astype(np.uint8)))


def annotations(bboxes: Iterable[Array], labels: Iterable[Array], **columns: Iterable[Any] | None) -> list[dict]:
    """Return the objects of all images as COCO's annotations, JSON values; the images count from 1.

    ``columns`` are more arguments of :func:`_image_annotations`, an entry per image each; None is left out.
    """
    given = {name: values for name, values in columns.items() if values is not None}
    found = []
    for image, entries in enumerate(zip(bboxes, labels, *given.values(), strict=True), start=1):
        bbox, label, *more = entries
        found += _image_annotations(image, bbox, label, **dict(zip(given, more, strict=True)))
    return found


def check_lengths(predictions: Sequence, ground_truth: Sequence) -> None:
    """Raise a ValueError unless both have equally many entries."""
    if len(predictions) != len(ground_truth):
        counts = f"got {len(predictions)} of predictions and {len(ground_truth)} of ground truth"
        raise ValueError(f"COCO's figures: there must be an entry per image, {counts}")


def _image_annotations(image, bbox, label, *, score=None, area=None, crowded=None, mask=None, point=None, visible=None):
    """Return the objects of an image; ``area`` is by default that of the masks, or else of the boxes."""
    from pycocotools import mask as coco_mask

    boxes = np.asarray(bbox, dtype=np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    boxes[:, 2:] -= boxes[:, :2]  # x, y, width, height
    runs = None if mask is None else run_lengths(mask)
    if area is None:
        area = boxes[:, 2:].prod(axis=1) if runs is None else [coco_mask.area(run) for run in runs]
    columns = {"category_id": label, "bbox": boxes, "area": np.asarray(area, dtype=np.float64), "score": score}
    columns["iscrowd"] = np.zeros(len(boxes), dtype=int) if crowded is None else np.asarray(crowded, dtype=int)
    if point is not None:
        seen = np.ones(point.shape[:2], dtype=bool) if visible is None else visible
        values = np.concatenate((point[..., ::-1], 2 * seen[..., None]), axis=2)  # (R, K, 3)
        columns |= {"keypoints": values.reshape(len(values), 3 * values.shape[1]), "num_keypoints": seen.sum(axis=1)}
    lists = {key: np.asarray(values).tolist() for key, values in columns.items() if values is not None}
    if runs is not None:
        lists["segmentation"] = runs
    rows = zip(*lists.values(), strict=True)
    return [{"image_id": image, **dict(zip(lists, row, strict=True))} for row in rows]


def figures(
    n_images: int,
    ground_truth: list[dict],
    detections: list[dict],
    kind: str,
    names: Iterable[str] = tuple(FIGURES),
    sigmas: Array | None = None,
) -> dict[str, float]:
    """Run pycocotools, which prints a lot.

    Args:
        n_images (int): Images, whose ids count from 1.
        ground_truth (list of dict): What :func:`annotations` returned.
        detections (list of dict): The same, with scores.
        kind (str): ``'bbox'``, ``'segm'`` or ``'keypoints'``.
        names (iterable of str): Of the figures, in pycocotools' order.
        sigmas (array or None): float, (K,), of keypoints.

    Returns:
        dict: Name to figure, nan where there is no ground truth.
    """
    from pycocotools.cocoeval import COCOeval

    images = [{"id": i, "height": None, "width": None} for i in range(1, n_images + 1)]  # required, but not used
    labels = {entry["category_id"] for entry in (*ground_truth, *detections)}
    dataset = {"images": images, "categories": [{"id": label} for label in sorted(labels)]}
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(_coco(dataset, ground_truth), _coco(dataset, detections), kind)
        if sigmas is not None:
            run.params.kpt_oks_sigmas = sigmas
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {name: float(v) if v > -1 else float("nan") for name, v in zip(names, run.stats, strict=True)}


def _coco(dataset, annotations):
    """Make pycocotools' index of annotations; it takes an id of 0 for none."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {**dataset, "annotations": [{**entry, "id": k} for k, entry in enumerate(annotations, start=1)]}
    coco.createIndex()
    return coco
