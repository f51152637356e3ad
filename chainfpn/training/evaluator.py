"""Figures of a detector on a data set."""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import chainer
import numpy as np
from chainer import reporter
from chainer.training import extensions
from chainercv.evaluations import calc_detection_voc_prec_rec, eval_detection_voc

from chainfpn._attributes import Fixed
from chainfpn._typing import Array, Communicator, Report
from chainfpn.datasets import DataError, DetectionDataset
from chainfpn.datasets._left_out import Omission
from chainfpn.functions.kernels.uploads import upload_ahead
from chainfpn.links import Detector
from chainfpn.training.coco_evaluation import evaluate_coco, run_lengths
from chainfpn.training.keypoint_evaluation import evaluate_keypoints, oks_sigmas
from chainfpn.training.match_labels import match_labels

#: What every image of an evaluation has, and what it may have, by the names of evaluate_coco.
_REQUIRED = ("pred_bboxes", "pred_labels", "pred_scores", "gt_bboxes", "gt_labels")
_OPTIONAL = ("gt_areas", "gt_crowdeds", "pred_masks", "gt_masks")
#: The same of keypoints, by the names of evaluate_keypoints.
_KEYPOINTS = ("pred_points", "gt_points", "gt_visibles")


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
            found = {key: image[f"pred_{key}{'es' if key == 'bbox' else 's'}"] for key in ("bbox", "label", "score")}
            extras = {key: image[f"pred_{key}s"] for key in ("mask", "point") if f"pred_{key}s" in image}
            yield i, {**found, **extras}

    def precision_recall(self) -> dict[str, tuple[Array, Array]]:
        """Compute precision and recall at an IoU of 0.5, for each number of the best detections.

        Returns:
            dict: Label to two arrays, (detections,), an entry for each label that has ground truth.
        """
        if not self._has_ground_truth():
            return {}
        columns = self._columns()
        arrays = (columns[key] for key in _REQUIRED)
        with np.errstate(invalid="ignore"):
            pairs = zip(*calc_detection_voc_prec_rec(*arrays, columns.get("gt_crowdeds")), strict=True)
        found = zip(self.label_names, pairs, strict=False)  # of labels beyond the last one that occurs there is none
        return {name: pair for name, pair in found if pair[0] is not None and pair[1] is not None}

    def voc(self) -> dict[str, float]:
        """Compute VOC's average precision at an IoU of 0.5, under the whole curve; crowds count as difficult.

        Returns:
            dict of str to float: An entry per label, nan where there is no ground truth.
        """
        ap = np.full(len(self.label_names), np.nan)
        if self._has_ground_truth():
            columns = self._columns()
            with np.errstate(invalid="ignore"):
                arrays = (columns[key] for key in _REQUIRED)
                precisions = eval_detection_voc(*arrays, columns.get("gt_crowdeds"))["ap"]
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

    def _has_ground_truth(self) -> bool:
        """Return whether there is ground truth that is no crowd: bool."""
        return any((~image.get("gt_crowdeds", image["gt_labels"] < 0)).any() for image in self._images.values())

    def _columns(self, required: Sequence[str] = _REQUIRED, optional: Sequence[str] = _OPTIONAL) -> dict[str, list]:
        """Return what all images have, lists with an entry per image, as :func:`evaluate_coco` takes it."""
        images = [self._images[i] for i in sorted(self._images)]
        keys = [key for key in (*required, *optional) if all(key in image for image in images)]
        return {key: [image[key] for image in images] for key in keys}


class DetectionEvaluator(extensions.Evaluator):
    """Trainer extension: VOC's AP and, on request, COCO's figures of a detector on a data set.

    ChainerCV's evaluators work with chainfpn's detectors, too, as long as ``predict`` returns no more than boxes,
    labels and scores. This one also takes detectors that return masks or points, examples that cannot be read, and
    labels in another order.

    It reports ``map``, ``ap/NAME`` for each label, of keypoints ``keypoint_ap``, which is COCO's and needs pycocotools,
    and with ``coco`` also ``coco/box/AP`` and so on, of which ``coco/mask/AP`` and so on only for detectors and data
    that have masks.

    Args:
        dataset (DetectionDataset): The data.
        target (chainfpn.links.Detector): The detector.
        coco (bool): Compute COCO's figures, for which pycocotools is needed.
        report (callable or None): Takes a sentence about each example that is left out.
        comm (chainermn.CommunicatorBase or None): Every process evaluates its share; the first one reports.

    Attributes:
        evaluation (Evaluation or None): What was found last; None in any process but the first.

    Raises:
        ValueError: if target and dataset have no label in common.
    """

    trigger = 1, "epoch"
    default_name = "validation"
    priority = chainer.training.PRIORITY_WRITER

    dataset, target = Fixed(), Fixed()

    def __init__(
        self,
        dataset: DetectionDataset,
        target: Detector,
        *,
        coco: bool = False,
        report: Report | None = None,
        comm: Communicator = None,
    ) -> None:
        super().__init__({}, target)
        match_labels(target, dataset)
        self.dataset, self.target, self.coco, self.report, self.comm = dataset, target, coco, report, comm
        self.evaluation: Evaluation | None = None

    def evaluate(self) -> dict[str, Any]:
        """Evaluate.

        Returns:
            dict: What is reported, by its full name; nothing in any process but the first.
        """
        rank, size = (0, 1) if self.comm is None else (self.comm.rank, self.comm.size)
        indices = range(rank, len(self.dataset), size)
        evaluation = evaluate(self.target, self.dataset, indices=indices, report=self.report)
        if self.comm is not None:
            shares = self.comm.gather_obj(evaluation)
            if rank != 0:
                return {}
            for share in shares[1:]:
                evaluation.merge(share)
        self.evaluation, ap = evaluation, evaluation.voc()
        values = {"map": mean(ap.values()), **{f"ap/{name}": value for name, value in ap.items()}}
        if has_keypoint_ap(self.target, self.dataset):
            values["keypoint_ap"] = evaluation.keypoints().get("AP", float("nan"))
        if self.coco:
            for kind, figures in evaluation.coco().items():
                values.update({f"coco/{kind}/{name}": value for name, value in figures.items()})
        observation: dict[str, Any] = {}
        with reporter.report_scope(observation):
            reporter.report(values, self.target)
        return observation


def has_keypoint_ap(detector: Detector, dataset: DetectionDataset) -> bool:
    """Return whether keypoints of a detector can be evaluated on a data set.

    Args:
        detector (chainfpn.links.Detector): The detector.
        dataset (DetectionDataset): The data.

    Returns:
        bool: Whether both have the same keypoints, and pycocotools is installed.
    """
    return bool(_common_keypoints(detector, dataset)) and importlib.util.find_spec("pycocotools") is not None


def evaluate(
    detector: Detector, dataset: DetectionDataset, *, indices: Iterable[int] | None = None, report: Report | None = None
) -> Evaluation:
    """Run a detector on a data set.

    Only labels that both know count. Masks are left out where pycocotools is not installed, and so are examples that
    cannot be read, and boxes whose coordinates are no numbers.

    Args:
        detector (chainfpn.links.Detector): The detector.
        dataset (DetectionDataset): Opened with ``use_ignored``, so that crowds and difficult annotations are known.
        indices (iterable of int or None): Which examples; all of them by default.
        report (callable or None): Takes a sentence about whatever is left out.

    Returns:
        Evaluation: Detections and ground truth of the examples.

    Raises:
        ValueError: if they have no label in common.
    """
    names, own_labels, gt_labels = match_labels(detector, dataset)
    report = report or (lambda message: None)
    evaluation = Evaluation(names, _common_keypoints(detector, dataset))
    masks = "mask" in dataset.available_keys and importlib.util.find_spec("pycocotools") is not None
    examples = _read(dataset, range(len(dataset)) if indices is None else indices)
    on_device = getattr(detector, "xp", np) is not np and getattr(detector.preprocess, "on_device", False)
    for imgs, (i, ground_truth) in upload_ahead(examples) if on_device else examples:
        try:
            if isinstance(ground_truth, Exception):
                raise ground_truth
            (found,) = detector.detect(imgs)
            detections = {"bbox": found.bbox, "label": found.label, "score": found.score}
            extras: list[str] = []
            if masks and found.mask is not None:
                detections["mask"] = found.mask
                extras = ["mask"]
            if found.point is not None:
                detections["point"] = found.point
                extras += ["point", "visible"] if evaluation.keypoint_names else []
            if extras:
                ground_truth = _read_ground_truth(dataset, i, extras)
        except DataError as error:
            report(error.omission)
            continue
        except MemoryError:
            sentence = f"{dataset.file_name(i)}: is too large for the memory of the device"
            report(Omission(sentence, "images too large for the memory"))
            continue
        good = np.isfinite(ground_truth["bbox"]).all(axis=1)
        for bb in ground_truth["bbox"][~good]:
            corners = ", ".join(f"{v:g}" for v in bb)
            sentence = f"{dataset.file_name(i)}: box ({corners}) has a coordinate that is no number"
            report(Omission(sentence, "boxes with a coordinate that is no number"))
        ground_truth = {key: value[good] for key, value in ground_truth.items()}
        evaluation.add(i, _relabelled(detections, own_labels), _relabelled(ground_truth, gt_labels))
    return evaluation


def _read(dataset, indices):
    """Yield of each example its image, in a list, its index and its ground truth; or no image, and the error."""
    for i in indices:
        try:
            imgs, ground_truth = list(dataset.read(i, ("img",))), _read_ground_truth(dataset, i)
        except (DataError, MemoryError) as error:
            imgs, ground_truth = [], error
        yield imgs, (i, ground_truth)


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are numbers, nan if there is none.

    Args:
        values (iterable of float): The values.

    Returns:
        float: Their mean.
    """
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")


def _common_keypoints(detector: Detector, dataset: DetectionDataset) -> tuple[str, ...]:
    """Return the names of the keypoints of a data set if the detector has the same, or as many without names."""
    own = getattr(detector, "keypoint_names", None) or dataset.keypoint_names
    return own if own == dataset.keypoint_names and len(own) == getattr(detector, "n_keypoint", 0) else ()


def _read_ground_truth(dataset: DetectionDataset, i: int, extras: Sequence[str] = ()) -> dict[str, Array]:
    """Read all but the image of an example; what is difficult is called crowded."""
    keys = ["bbox", "label", "area", "crowded", "difficult", *extras]
    keys = [key for key in keys if key in dataset.available_keys]
    values = dataset.read(i, keys)
    return {"crowded" if key == "difficult" else key: value for key, value in zip(keys, values, strict=True)}


def _relabelled(values: dict[str, Array], table: Array) -> dict[str, Array]:
    """Map the labels, and drop the boxes whose label is in no table."""
    label = table[values["label"]]
    return {key: (label if key == "label" else value)[label >= 0] for key, value in values.items()}
