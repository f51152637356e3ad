"""Figures of detections beside their ground truth."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from chainercv.evaluations import calc_detection_voc_prec_rec, eval_detection_voc
from chainercv.utils import bbox_iou

from chainfpn._typing import Array
from chainfpn.training.coco_evaluation import evaluate_coco, run_lengths
from chainfpn.training.keypoint_evaluation import evaluate_keypoints, oks_sigmas

#: What every image of an evaluation has, and what it may have, by the names of evaluate_coco.
_REQUIRED = ("pred_bboxes", "pred_labels", "pred_scores", "gt_bboxes", "gt_labels")
_OPTIONAL = ("gt_areas", "gt_crowdeds", "pred_masks", "gt_masks")
#: The same of keypoints, by the names of evaluate_keypoints.
_KEYPOINTS = ("pred_points", "gt_points", "gt_visibles")
#: IoU of a detection that is right, and what VOC adds to boxes: their last pixels count.
_MIN_IOU, _LAST_PIXEL = 0.5, np.array([0, 0, 1, 1], np.float32)


class Evaluation:
    """Detections in some images beside their ground truth.

    Args:
        label_names (sequence of str): Names of the labels.
        keypoint_names (sequence of str): Names of the keypoints, of which nothing is computed if there are none.

    Attributes:
        label_names (tuple of str): Names of the labels.
        keypoint_names (tuple of str): Names of the keypoints.
        n_images (int): Images so far.
    """

    def __init__(self, label_names: Iterable[str], keypoint_names: Iterable[str] = ()) -> None:
        self.label_names, self.keypoint_names = tuple(label_names), tuple(keypoint_names)
        self._images: dict[int, dict] = {}

    @property
    def n_images(self) -> int:
        """Images so far: int."""
        return len(self._images)

    @property
    def has_masks(self) -> bool:
        """Whether all images have masks, both found and true: bool."""
        return bool(self._images) and all({"pred_masks", "gt_masks"} <= image.keys() for image in self._images.values())

    def add(self, i: int, detections: dict[str, Array], ground_truth: dict[str, Array]) -> None:
        """Add an image.

        Args:
            i (int): Index of the example, by which images are ordered.
            detections (dict of str to array): ``bbox``, ``label``, ``score`` and perhaps ``mask`` or ``point``.
            ground_truth (dict of str to array): ``bbox``, ``label`` and perhaps ``area``, ``crowded``, ``mask``,
                ``point`` and ``visible``.
        """
        self._images[i] = {
            f"{side}_{key}{'es' if key == 'bbox' else 's'}": run_lengths(value) if key == "mask" else value
            for side, values in (("pred", detections), ("gt", ground_truth))
            for key, value in values.items()
        }

    def merge(self, other: "Evaluation") -> None:
        """Add all images of another evaluation.

        Args:
            other (Evaluation): With the same labels.
        """
        self._images.update(other._images)

    def detections(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Go through the images.

        Yields:
            tuple: Index of the example, int, and a dict: ``bbox`` (R, 4), ``label`` (R,), an index of
            :attr:`label_names`, ``score`` (R,), and perhaps ``mask``, run lengths of pycocotools, or ``point``
            (R, K, 2).
        """
        for i in sorted(self._images):
            image = self._images[i]
            extras = {key: image[f"pred_{key}s"] for key in ("mask", "point") if f"pred_{key}s" in image}
            yield i, {**_rows(image, "pred", ("bbox", "label", "score")), **extras}

    def mistakes(self, score: float) -> dict[int, tuple[dict[str, Array], dict[str, Array]]]:
        """Find the detections that are wrong and the ground truth that was missed, by VOC's rule at an IoU of 0.5.

        Args:
            score (float): Detections count that have more.

        Returns:
            dict: Index of each example with a mistake to two dicts: ``bbox`` (R, 4), ``label`` (R,) and ``score`` (R,)
            of what is wrong, and ``bbox`` and ``label`` of what was missed.
        """
        found = {}
        for i in sorted(self._images):
            image = self._images[i]
            wrong, missed = _mistakes(image, score)
            if wrong or missed:
                detected = _rows(image, "pred", ("bbox", "label", "score"), wrong)
                found[i] = detected, _rows(image, "gt", ("bbox", "label"), missed)
        return found

    def precision_recall(self) -> dict[str, tuple[Array, Array]]:
        """Compute precision and recall at an IoU of 0.5, for each number of the best detections.

        Returns:
            dict: Label to two arrays, (detections,), an entry for each label that has ground truth.
        """
        if not self._has_ground_truth():
            return {}
        pairs = zip(*self._of_voc(calc_detection_voc_prec_rec), strict=True)
        found = zip(self.label_names, pairs, strict=False)  # of labels beyond the last one that occurs there is none
        return {name: pair for name, pair in found if pair[0] is not None and pair[1] is not None}

    def voc(self) -> dict[str, float]:
        """Compute VOC's average precision at an IoU of 0.5, under the whole curve; crowds count as difficult.

        Returns:
            dict of str to float: An entry per label, nan where there is no ground truth.
        """
        ap = np.full(len(self.label_names), np.nan)
        if self._has_ground_truth():
            precisions = self._of_voc(eval_detection_voc)["ap"]
            ap[: len(precisions)] = precisions
        return dict(zip(self.label_names, map(float, ap), strict=True))

    def coco(self) -> dict[str, dict[str, float]]:
        """Compute COCO's figures; see ``evaluate_coco`` and ``evaluate_keypoints`` of :mod:`chainfpn.training`.

        Returns:
            dict: ``'box'``, if all images have masks ``'mask'``, and if all have keypoints ``'keypoint'``.

        Raises:
            ImportError: if pycocotools is not installed.
        """
        figures, keypoints = evaluate_coco(**self._columns()), self.keypoints()
        return {**figures, "keypoint": keypoints} if keypoints else figures

    def keypoints(self) -> dict[str, float]:
        """Compute COCO's figures of keypoints; see :func:`~chainfpn.training.evaluate_keypoints`.

        Returns:
            dict of str to float: Empty where not all images have keypoints.

        Raises:
            ImportError: if pycocotools is not installed.
        """
        columns = self._columns((*_REQUIRED, *_KEYPOINTS), ("gt_areas", "gt_crowdeds"))
        if not self.keypoint_names or not columns.keys() >= set(_KEYPOINTS):
            return {}
        return evaluate_keypoints(**columns, sigmas=oks_sigmas(self.keypoint_names))

    def _of_voc(self, function: Callable) -> Any:
        """Return what a function of ChainerCV makes of detections and ground truth."""
        columns = self._columns()
        with np.errstate(invalid="ignore"):
            return function(*(columns[key] for key in _REQUIRED), columns.get("gt_crowdeds"))

    def _has_ground_truth(self) -> bool:
        """Return whether there is ground truth that is no crowd: bool."""
        return any((~image.get("gt_crowdeds", image["gt_labels"] < 0)).any() for image in self._images.values())

    def _columns(self, required: Sequence[str] = _REQUIRED, optional: Sequence[str] = _OPTIONAL) -> dict[str, list]:
        """Return what all images have, lists with an entry per image, as :func:`evaluate_coco` takes it."""
        images = [self._images[i] for i in sorted(self._images)]
        keys = [key for key in (*required, *optional) if all(key in image for image in images)]
        return {key: [image[key] for image in images] for key in keys}


def _rows(
    image: dict[str, Array], side: str, keys: Sequence[str], rows: slice | list[int] = slice(None)
) -> dict[str, Array]:
    """Return rows of what was found in an image, or of its ground truth: key to array."""
    return {key: image[f"{side}_{key}{'es' if key == 'bbox' else 's'}"][rows] for key in keys}


def _mistakes(image: dict[str, Array], score: float) -> tuple[list[int], list[int]]:
    """Return the rows of an image's detections that are wrong, and those of its ground truth that was missed."""
    labels, scores = image["pred_labels"], image["pred_scores"]
    crowd = image.get("gt_crowdeds", image["gt_labels"] < 0)
    boxes, others = (image[f"{side}_bboxes"] + _LAST_PIXEL for side in ("pred", "gt"))
    iou = bbox_iou(boxes, others) * (labels[:, None] == image["gt_labels"])  # (R, R_gt)
    free, wrong = ~crowd, []
    for row in np.argsort(-scores, kind="stable")[: np.count_nonzero(scores > score)].tolist():
        best = int(iou[row].argmax()) if iou.shape[1] else -1
        if best < 0 or iou[row, best] < _MIN_IOU or not (crowd[best] or free[best]):
            wrong.append(row)
        else:
            free[best] = False
    return wrong, np.flatnonzero(free).tolist()
