"""COCO's twelve figures, computed by pycocotools."""

import contextlib
import io
import itertools

import numpy as np

#: Name of each figure: thresholds of IoU, areas of the objects, most detections per image; in pycocotools' order.
FIGURES = {
    "AP": ("0.50:0.95", "all", 100),
    "AP50": ("0.50", "all", 100),
    "AP75": ("0.75", "all", 100),
    "APs": ("0.50:0.95", "small", 100),
    "APm": ("0.50:0.95", "medium", 100),
    "APl": ("0.50:0.95", "large", 100),
    "AR1": ("0.50:0.95", "all", 1),
    "AR10": ("0.50:0.95", "all", 10),
    "AR100": ("0.50:0.95", "all", 100),
    "ARs": ("0.50:0.95", "small", 100),
    "ARm": ("0.50:0.95", "medium", 100),
    "ARl": ("0.50:0.95", "large", 100),
}


def evaluate_coco(
    pred_bboxes,
    pred_labels,
    pred_scores,
    gt_bboxes,
    gt_labels,
    *,
    gt_areas=None,
    gt_crowdeds=None,
    pred_masks=None,
    gt_masks=None,
):
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
        gt_crowdeds (iterable of array or None): bool, (R',), objects for which nothing is gained or lost.
        pred_masks (iterable of array or None): bool, (R, H, W).
        gt_masks (iterable of array or None): bool, (R', H, W).

    Returns:
        dict: ``'box'`` and, if there are both kinds of masks, ``'mask'``, each a dict from the names in
        :data:`FIGURES` to float; nan where there is no object to tell.

    Raises:
        ImportError: if pycocotools is not installed.
        ValueError: if there are not equally many entries.

    Source:
        Lin et al. 2014; pycocotools ``COCOeval``.
    """
    has_masks = pred_masks is not None and gt_masks is not None
    required = [list(values) for values in (pred_bboxes, pred_labels, pred_scores, gt_bboxes, gt_labels)]
    optional = [
        itertools.repeat(None, len(required[0])) if values is None else values
        for values in (gt_areas, gt_crowdeds, *((pred_masks, gt_masks) if has_masks else (None, None)))
    ]
    n_class, images, truths, boxes, masks = 0, [], [], [], []
    for image, entries in enumerate(zip(*required, *optional, strict=True), start=1):
        bbox, label, score, gt_bbox, gt_label, gt_area, gt_crowded, mask, gt_mask = entries
        images.append({"id": image, "height": None, "width": None})  # asked for, but not used with run lengths
        runs, gt_runs = (run_lengths(mask), run_lengths(gt_mask)) if has_masks else (None, None)
        truths += _annotations(image, gt_bbox, gt_label, runs=gt_runs, area=gt_area, crowded=gt_crowded)
        boxes += _annotations(image, bbox, label, score=score)
        masks += _annotations(image, bbox, label, score=score, runs=runs) if has_masks else []
        n_class = max(n_class, *(int(values.max()) + 1 for values in (label, gt_label) if len(values)), 0)
    ground = {"images": images, "categories": [{"id": i} for i in range(n_class)]}
    figures = {"box": _figures(ground, truths, boxes, "bbox")}
    if has_masks:
        figures["mask"] = _figures(ground, truths, masks, "segm")
    return figures


def run_lengths(mask):
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


def _annotations(image, bbox, label, *, score=None, runs=None, area=None, crowded=None):
    """Turn the objects of one image into COCO's annotations."""
    from pycocotools import mask as coco_mask

    corners = np.asarray(bbox, dtype=np.float64).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    if area is None:
        area = sides.prod(axis=1) if runs is None else [coco_mask.area(run) for run in runs]
    annotations = []
    for k, ((y, x, _, _), (height, width)) in enumerate(zip(corners, sides, strict=True)):
        annotation = {
            "image_id": image,
            "category_id": int(label[k]),
            "bbox": [float(x), float(y), float(width), float(height)],
            "area": float(area[k]),
            "iscrowd": 0 if crowded is None else int(crowded[k]),
        }
        if runs is not None:
            annotation["segmentation"] = runs[k]
        if score is not None:
            annotation["score"] = float(score[k])
        annotations.append(annotation)
    return annotations


def _figures(ground, truths, found, kind):
    """Run pycocotools, which prints a lot."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(_coco(ground, truths), _coco(ground, found), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {name: float(v) if v > -1 else float("nan") for name, v in zip(FIGURES, run.stats, strict=True)}


def _coco(ground, annotations):
    """Make pycocotools' index of annotations; it takes an id of 0 for none."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {**ground, "annotations": [{**entry, "id": k} for k, entry in enumerate(annotations, start=1)]}
    coco.createIndex()
    return coco
