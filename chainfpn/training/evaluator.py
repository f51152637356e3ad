"""A detector run on a data set, by itself or as a trainer's extension."""

import importlib.util
from collections.abc import Iterable, Sequence
from typing import Any

import chainer
import numpy as np
from chainer import reporter
from chainer.training import extensions

from chainfpn._attributes import Fixed
from chainfpn._typing import Array, Communicator, Report
from chainfpn.datasets import DataError, DetectionDataset
from chainfpn.datasets._left_out import Omission
from chainfpn.errors import InvalidArgument
from chainfpn.links import Detector
from chainfpn.training._image_batches import ImageBatches
from chainfpn.training.evaluation import Evaluation
from weights_convert import few


class DetectionEvaluator(extensions.Evaluator):
    """Trainer extension: VOC's AP and, on request, COCO's figures of a detector on a data set.

    ChainerCV's evaluators work with chainfpn's detectors, too, as long as ``predict`` returns no more than boxes,
    labels and scores. This one also takes detectors that return masks or points, examples that cannot be read, and
    labels in another order.

    It reports ``map``, ``ap/NAME`` for each label, ``mask_ap`` and ``keypoint_ap``, which are COCO's and need
    pycocotools, and with ``coco`` also ``coco/box/AP`` and so on, of which ``coco/mask/AP`` and so on only for
    detectors and data that have masks.

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
        found = evaluation.coco() if self.coco or evaluation.has_masks else {}
        if "mask" in found:
            values["mask_ap"] = found["mask"]["AP"]
        for kind, figures in found.items() if self.coco else ():
            values.update({f"coco/{kind}/{name}": value for name, value in figures.items()})
        observation: dict[str, Any] = {}
        with reporter.report_scope(observation):
            reporter.report(values, self.target)
        return observation


def has_keypoint_ap(detector: Detector, dataset: DetectionDataset) -> bool:
    """Return whether a detector and a data set have the same keypoints, and pycocotools is there, which scores them."""
    return bool(_common_keypoints(detector, dataset)) and importlib.util.find_spec("pycocotools") is not None


def evaluate(
    detector: Detector, dataset: DetectionDataset, *, indices: Iterable[int] | None = None, report: Report | None = None
) -> Evaluation:
    """Run a detector on a data set, on a GPU on several images of one size at once.

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
    for found, (i, ground_truth) in ImageBatches(detector, examples):
        try:
            if isinstance(ground_truth, Exception):
                raise ground_truth
            if found is None:
                raise MemoryError
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


def match_labels(detector: Detector, dataset: DetectionDataset) -> tuple[tuple[str, ...], Array, Array]:
    """Find the labels that a detector and a data set have in common, in the order of the data set.

    Args:
        detector (chainfpn.links.Detector): With ``n_fg_class`` and ``label_names``.
        dataset (DetectionDataset): With ``label_names``.

    Returns:
        tuple: The names, tuple of str; and two arrays int32 from the detector's and the data set's labels to
        indices of the names, -1 where there is none.

    Raises:
        ValueError: if there is none, or the detector knows no names and has another number of labels.
    """
    own, gt = detector.label_names, dataset.label_names
    if own is None:
        n, n_gt = detector.n_fg_class, len(gt)
        if n != n_gt:
            got = f"{n} of the detector and {n_gt} of the data"
            raise InvalidArgument("match_labels", "labels without names", "equally many", (n, n_gt), got=got)
        own = gt
    names = tuple(name for name in gt if name in own)
    if not names:
        got = f"{few(own)} and {few(gt)}"
        raise InvalidArgument("match_labels", "detector and data", "have a label in common", (own, gt), got=got)
    table, gt_table = (np.array([names.index(name) if name in names else -1 for name in side]) for side in (own, gt))
    return names, table.astype(np.int32), gt_table.astype(np.int32)


def _read(dataset, indices):
    """Yield of each example its image, in a list, its index and its ground truth; or no image, and the error."""
    for i in indices:
        try:
            imgs, ground_truth = list(dataset.read(i, ("img",))), _read_ground_truth(dataset, i)
        except (DataError, MemoryError) as error:
            imgs, ground_truth = [], error
        yield imgs, (i, ground_truth)


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are numbers, nan if there is none."""
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
