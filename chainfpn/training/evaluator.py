"""Run a detector on a data set and say how good it is."""

import importlib.util

import chainer
import numpy as np
from chainer import reporter
from chainer.training import extensions
from chainercv.evaluations import eval_detection_voc

from chainfpn.datasets import DataError
from chainfpn.training.coco_evaluation import evaluate_coco, run_lengths


class Evaluation:
    """What was found in some images, beside what is there.

    Args:
        label_names (sequence of str): Names of the labels.

    Attributes:
        label_names (tuple of str): Names of the labels.
        n_images (int): Images so far.
    """

    def __init__(self, label_names):
        self.label_names = tuple(label_names)
        self._images = {}

    @property
    def n_images(self):
        """Images so far: int."""
        return len(self._images)

    def add(self, i, found, truth):
        """Add an image.

        Args:
            i (int): Index of the example, which tells its place among the others.
            found (dict of str to array): ``bbox``, ``label``, ``score`` and perhaps ``mask``.
            truth (dict of str to array): ``bbox``, ``label`` and perhaps ``area``, ``crowded`` and ``mask``.
        """
        self._images[i] = tuple(
            {key: run_lengths(value) if key == "mask" else value for key, value in values.items()}
            for values in (found, truth)
        )

    def merge(self, other):
        """Add all images of another evaluation.

        Args:
            other (Evaluation): With the same labels.
        """
        self._images.update(other._images)

    def voc(self):
        """Compute VOC's average precision at an IoU of 0.5, under the whole curve; crowds are difficult objects.

        Returns:
            dict of str to float: An entry per label, nan where there is no object.
        """
        ap = np.full(len(self.label_names), np.nan)
        found, truths = self._sides()
        if any((~truth["crowded"]).any() if "crowded" in truth else len(truth["label"]) for truth in truths):
            with np.errstate(invalid="ignore"):
                columns = *_columns(found, "bbox", "label", "score"), *_columns(truths, "bbox", "label", "crowded")
                precisions = eval_detection_voc(*columns)["ap"]
            ap[: len(precisions)] = precisions
        return dict(zip(self.label_names, map(float, ap), strict=True))

    def coco(self):
        """Compute COCO's figures; see :func:`~chainfpn.training.evaluate_coco`.

        Returns:
            dict: ``'box'`` and, if all images have masks, ``'mask'``.

        Raises:
            ImportError: if pycocotools is not installed.
        """
        found, truths = self._sides()
        area, crowded, gt_mask = _columns(truths, "area", "crowded", "mask")
        (pred_mask,) = _columns(found, "mask")
        return evaluate_coco(
            *_columns(found, "bbox", "label", "score"),
            *_columns(truths, "bbox", "label"),
            gt_areas=area,
            gt_crowdeds=crowded,
            pred_masks=pred_mask,
            gt_masks=gt_mask,
        )

    def _sides(self):
        """Return what was found and what is there, lists with an entry per image."""
        images = [self._images[i] for i in sorted(self._images)]
        return [found for found, _ in images], [truth for _, truth in images]


class DetectionEvaluator(extensions.Evaluator):
    """Trainer extension: VOC's AP and, if asked for, COCO's figures of a detector on a data set.

    ChainerCV's evaluators work with chainfpn's detectors, too, as long as ``predict`` returns no more than boxes,
    labels and scores. This one also takes detectors that return masks or points, examples that cannot be read, and
    labels in another order.

    It reports ``map``, ``ap/NAME`` for each label, and with ``coco`` also ``coco/box/AP`` and so on, of which
    ``coco/mask/AP`` and so on only for detectors and data that have masks.

    Args:
        dataset (DetectionDataset): What is looked at.
        target (chainer.Link): With ``predict``, ``n_fg_class`` and ``label_names``.
        coco (bool): Compute COCO's figures, for which pycocotools is needed.
        report (callable or None): Takes a sentence about each example that is left out.
        comm (chainermn.CommunicatorBase or None): Every process looks at its share; the first one reports.

    Raises:
        ValueError: if target and dataset have no label in common.
    """

    trigger = 1, "epoch"
    default_name = "validation"
    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, dataset, target, *, coco=False, report=None, comm=None):
        super().__init__({}, target)
        match_labels(target, dataset)
        self.dataset = dataset
        self._coco = coco
        self._report = report
        self._comm = comm

    def evaluate(self):
        """Evaluate.

        Returns:
            dict: What is reported, by its full name; nothing in any process but the first.
        """
        target = self.get_target("main")
        rank, size = (0, 1) if self._comm is None else (self._comm.rank, self._comm.size)
        evaluation = evaluate(target, self.dataset, indices=range(rank, len(self.dataset), size), report=self._report)
        if self._comm is not None:
            shares = self._comm.gather_obj(evaluation)
            if rank != 0:
                return {}
            for share in shares[1:]:
                evaluation.merge(share)
        ap = evaluation.voc()
        values = {"map": mean(ap.values()), **{f"ap/{name}": value for name, value in ap.items()}}
        if self._coco:
            for kind, figures in evaluation.coco().items():
                values.update({f"coco/{kind}/{name}": value for name, value in figures.items()})
        observation = {}
        with reporter.report_scope(observation):
            reporter.report(values, target)
        return observation


def evaluate(detector, dataset, *, indices=None, report=None):
    """Run a detector on a data set.

    Only labels that both know count. Masks are left out where pycocotools is not installed, and so are examples that
    cannot be read, and boxes whose coordinates are no numbers.

    Args:
        detector (chainer.Link): With ``predict``, ``n_fg_class`` and ``label_names``.
        dataset (DetectionDataset): Opened with ``use_ignored``, so that crowds and difficult objects are known.
        indices (iterable of int or None): Which examples; all of them by default.
        report (callable or None): Takes a sentence about whatever is left out.

    Returns:
        Evaluation: What was found and what is there.

    Raises:
        ValueError: if they have no label in common.
    """
    names, found_labels, true_labels = match_labels(detector, dataset)
    report = report or (lambda message: None)
    evaluation = Evaluation(names)
    masks = "mask" in dataset.available_keys and importlib.util.find_spec("pycocotools") is not None
    for i in range(len(dataset)) if indices is None else indices:
        try:
            (img,) = dataset.read(i, ("img",))
            truth = _read_truth(dataset, i)
            found = dict(zip(("bbox", "label", "score", "mask"), (v[0] for v in detector.predict([img])), strict=False))
            if not masks or found.get("mask", np.empty(0)).dtype != bool:
                found.pop("mask", None)  # of a Keypoint R-CNN it is points
            else:
                (truth["mask"],) = dataset.read(i, ("mask",))
        except DataError as error:
            report(f"{error}: left out")
            continue
        except MemoryError:
            report(f"{dataset.file_name(i)}: is too large for the memory of the device: left out")
            continue
        good = np.isfinite(truth["bbox"]).all(axis=1)
        for bb in truth["bbox"][~good]:
            corners = ", ".join(f"{v:g}" for v in bb)
            report(f"{dataset.file_name(i)}: box ({corners}) has a coordinate that is no number: left out")
        truth = {key: value[good] for key, value in truth.items()}
        evaluation.add(i, _relabelled(found, found_labels), _relabelled(truth, true_labels))
    return evaluation


def match_labels(detector, dataset):
    """Find the labels that a detector and a data set have in common, in the order of the data set.

    Args:
        detector (chainer.Link): With ``n_fg_class`` and ``label_names``.
        dataset (DetectionDataset): With ``label_names``.

    Returns:
        tuple: The names, tuple of str; and two arrays int32 from the detector's and the data set's labels to
        indices of the names, -1 where there is none.

    Raises:
        ValueError: if there is none, or the detector knows no names and has another number of labels.
    """
    known, there = detector.label_names, dataset.label_names
    if known is None:
        if detector.n_fg_class != len(there):
            n = f"{detector.n_fg_class} of the detector and {len(there)} of the data"
            raise ValueError(f"match_labels: labels without names must be equally many, got {n}")
        known = there
    names = tuple(name for name in there if name in known)
    if not names:
        sides = f"{_few(known)} and {_few(there)}"
        raise ValueError(f"match_labels: detector and data must have a label in common, got {sides}")
    tables = ([names.index(name) if name in names else -1 for name in side] for side in (known, there))
    return names, *(np.array(table, dtype=np.int32) for table in tables)


def mean(values):
    """Return the mean of the values that are numbers, nan if there is none.

    Args:
        values (iterable of float): The values.

    Returns:
        float: Their mean.
    """
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")


def _read_truth(dataset, i):
    """Read all but the image and the masks of an example; difficult objects are called crowds."""
    keys = [key for key in ("bbox", "label", "area", "crowded", "difficult") if key in dataset.available_keys]
    truth = dict(zip(keys, dataset.read(i, keys), strict=True))
    if "difficult" in truth:
        truth["crowded"] = truth.pop("difficult")
    return truth


def _relabelled(values, table):
    """Translate the labels, and leave out what has none."""
    label = table[values["label"]]
    return {key: (label if key == "label" else value)[label >= 0] for key, value in values.items()}


def _columns(images, *keys):
    """Return the values of each key, None instead of those that not every image has."""
    return [[values[key] for values in images] if all(key in v for v in images) else None for key in keys]


def _few(names):
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
