"""The figures are pycocotools' own, and ChainerCV's evaluators work with our detectors."""

import dataclasses
import json
import types
from unittest.mock import Mock

import chainer
import numpy as np
import pytest
from chainercv.extensions import DetectionCOCOEvaluator, DetectionVOCEvaluator

from chainfpn import models
from chainfpn.datasets import COCODataset, DataError, ShapesDataset
from chainfpn.links import Detections
from chainfpn.training import draw_precision_recall, plots
from chainfpn.training.coco_evaluation import FIGURES, evaluate_coco, run_lengths
from chainfpn.training.evaluator import DetectionEvaluator, Evaluation, evaluate, match_labels

KEYS = ("bbox", "label", "area", "crowded", "mask")


@pytest.fixture(scope="module")
def coco128(shared_data):
    pytest.importorskip("pycocotools")
    folder = shared_data / "coco128"
    path = folder / "annotations" / "instances_train2017.json"
    return path, COCODataset(path, folder / "train2017", use_crowded=True)


@pytest.fixture(scope="module")
def detections(coco128):
    """The truth, shifted, cut and mislabelled a little, some of it twice, some of it not at all: per image."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(len(coco128[1])):
        bbox, label, mask = coco128[1].read(i, ("bbox", "label", "mask"))
        rows = np.flatnonzero(rng.random(len(bbox)) < 0.85)
        rows = np.concatenate((rows, rows[rng.random(len(rows)) < 0.3]))
        bbox, label, mask = bbox[rows], label[rows], mask[rows]
        sides = np.tile(bbox[:, 2:] - bbox[:, :2], 2)
        bbox = (bbox + sides * rng.normal(0, 0.08, bbox.shape)).astype(np.float32)
        label = np.where(rng.random(len(label)) < 0.9, label, rng.integers(0, 80, len(label))).astype(np.int32)
        shift = rng.integers(-8, 9, 2)
        mask = np.roll(mask, shift, axis=(1, 2))
        order = np.argsort(-rng.random(len(rows)))
        score = np.sort(rng.random(len(rows)).astype(np.float32))[::-1]
        found.append((bbox[order], label[order], score, mask[order]))
    return found


@pytest.fixture(scope="module")
def directly(coco128, detections):
    """What pycocotools says of the JSON and of detections in the form it wants from everybody: kind to figures."""
    return {name: _directly(coco128, detections, kind) for name, kind in (("box", "bbox"), ("mask", "segm"))}


def _directly(coco128, detections, kind):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path, dataset = coco128
    results = []
    for image_id, (bbox, label, score, mask) in zip(dataset.image_ids, detections, strict=True):
        runs = run_lengths(mask)
        for k in range(len(bbox)):
            y0, x0, y1, x1 = map(float, bbox[k])
            shape = {"bbox": [x0, y0, x1 - x0, y1 - y0]} if kind == "bbox" else {"segmentation": runs[k]}
            entry = {"image_id": image_id, "category_id": dataset.category_ids[label[k]], "score": float(score[k])}
            results.append({**entry, **shape})
    truth = COCO(path)
    run = COCOeval(truth, truth.loadRes(results), kind)
    run.evaluate()
    run.accumulate()
    run.summarize()
    return run.stats


@pytest.mark.slow
def test_the_figures_of_coco128_are_those_of_pycocotools(coco128, detections, directly):
    truths = [coco128[1].read(i, KEYS) for i in range(len(coco128[1]))]
    gt_bboxes, gt_labels, gt_areas, gt_crowdeds, gt_masks = zip(*truths, strict=True)
    bboxes, labels, scores, masks = zip(*detections, strict=True)
    figures = evaluate_coco(
        bboxes, labels, scores, gt_bboxes, gt_labels,
        gt_areas=gt_areas, gt_crowdeds=gt_crowdeds, pred_masks=masks, gt_masks=gt_masks,
    )  # fmt: skip
    assert sum(crowded.sum() for crowded in gt_crowdeds) == 10
    for name, expected in directly.items():
        assert list(figures[name]) == list(FIGURES)
        np.testing.assert_allclose(list(figures[name].values()), expected, rtol=0, atol=1e-6)
        assert 0.2 < figures[name]["AP"] < 0.9
        assert len(set(figures[name].values())) > 8


@pytest.mark.slow
def test_a_detector_on_coco128_has_the_figures_of_pycocotools(coco128, detections, directly):
    """The whole way: label by label, image by image, crowds included."""
    dataset = coco128[1]
    detector = types.SimpleNamespace(
        detect=lambda imgs: [next(found)],
        n_fg_class=80,
        label_names=tuple(reversed(dataset.label_names)),
    )
    turned = [(bbox, (79 - label).astype(np.int32), score, mask) for bbox, label, score, mask in detections]
    found = (Detections(*arrays) for arrays in turned)
    figures = evaluate(detector, dataset).coco()
    for name, expected in directly.items():
        np.testing.assert_allclose(list(figures[name].values()), expected, rtol=0, atol=1e-6)


def box(y0, x0, y1, x1):
    return np.array([[y0, x0, y1, x1]], dtype=np.float32)


NOTHING = np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int32)


def test_figures_by_hand():
    """One object, found by a box with an IoU of 0.8, after a wrong one."""
    pytest.importorskip("pycocotools")
    bbox = np.concatenate((box(50, 50, 60, 60), box(0, 0, 8, 10)))
    figures = evaluate_coco(
        [bbox], [np.zeros(2, int)], [np.array([0.9, 0.8])], [box(0, 0, 10, 10)], [np.zeros(1, int)]
    )["box"]
    expected = {"AP": 0.5 * 0.7, "AP50": 0.5, "AP75": 0.5, "AR1": 0, "AR10": 0.7, "AR100": 0.7}
    expected |= {"APs": 0.5 * 0.7, "ARs": 0.7, "APm": np.nan, "APl": np.nan, "ARm": np.nan, "ARl": np.nan}
    assert figures == pytest.approx(expected, nan_ok=True)


def test_a_crowd_costs_nothing_and_areas_decide_the_size():
    pytest.importorskip("pycocotools")
    one = np.zeros(1, int)
    arguments = [box(0, 0, 5, 5)], [one], [np.ones(1)], [box(0, 0, 10, 10)], [one]
    assert evaluate_coco(*arguments)["box"]["AP50"] == 0
    assert np.isnan(evaluate_coco(*arguments, gt_crowdeds=[np.ones(1, bool)])["box"]["AP50"])
    figures = evaluate_coco(*arguments, gt_areas=[np.array([2000.0])])["box"]
    assert np.isnan(figures["APs"])
    assert figures["APm"] == 0


def test_images_without_objects_or_detections():
    pytest.importorskip("pycocotools")
    one, none = np.zeros(1, int), np.zeros((0, 20, 20), bool)
    mask = np.zeros((1, 20, 20), bool)
    mask[0, :10, :10] = True
    figures = evaluate_coco(
        [box(0, 0, 10, 10), NOTHING[0]], [one, NOTHING[1]], [np.ones(1), np.zeros(0)],
        [box(0, 0, 10, 10), NOTHING[0]], [one, NOTHING[1]], pred_masks=[mask, none], gt_masks=[mask, none],
    )  # fmt: skip
    assert figures["box"]["AP"] == figures["mask"]["AP"] == pytest.approx(1)
    nothing = evaluate_coco([NOTHING[0]], [NOTHING[1]], [np.zeros(0)], [NOTHING[0]], [NOTHING[1]])
    assert all(map(np.isnan, nothing["box"].values()))
    with pytest.raises(ValueError, match="must be an entry per image, got 0 of predictions and 1 of ground truth"):
        evaluate_coco([], [], [], [NOTHING[0]], [NOTHING[1]])


def detector_of(answers, names=("circle", "square", "triangle")):
    """A detector that gives these answers, one per call."""

    class Detector(chainer.Chain):
        label_names, n_fg_class, left = names, 3 if names is None else len(names), iter(answers)

        def detect(self, imgs):
            return [next(self.left)]

    return Detector()


def truth_as_answers(dataset, relabel=lambda label: label):
    for bbox, label, mask in (dataset.read(i, ("bbox", "label", "mask")) for i in range(len(dataset))):
        yield Detections(bbox, relabel(label), np.linspace(1, 0.5, len(bbox), dtype=np.float32), mask)


def test_labels_are_matched_by_name():
    dataset = ShapesDataset(6, 32)
    detector = detector_of(
        truth_as_answers(dataset, lambda label: np.array([2, 0, 3], np.int32)[label]),
        ("square", "person", "circle", "dog"),
    )
    evaluation = evaluate(detector, dataset)
    assert evaluation.label_names == ("circle", "square")
    assert evaluation.n_images == 6
    assert evaluation.voc() == {"circle": 1, "square": 1}


def test_labels_without_names_must_be_equally_many():
    dataset = ShapesDataset(1, 32)
    assert match_labels(detector_of([], None), dataset)[0] == dataset.label_names
    nameless = types.SimpleNamespace(label_names=None, n_fg_class=80)
    message = "match_labels: labels without names must be equally many, got 80 of the detector and 3 of the data"
    with pytest.raises(ValueError, match=message):
        match_labels(nameless, dataset)
    message = "match_labels: detector and data must have a label in common, got dog and circle, square, triangle"
    with pytest.raises(ValueError, match=message):
        match_labels(detector_of([], ("dog",)), dataset)


@pytest.mark.parametrize("shift", [0, 1])
def test_masks_have_an_ap_of_their_own(shift):
    pytest.importorskip("pycocotools")
    dataset = ShapesDataset(3, 32)
    answers = [dataclasses.replace(one, mask=np.roll(one.mask, shift, 2)) for one in truth_as_answers(dataset)]
    values = DetectionEvaluator(dataset, detector_of(answers))()
    assert values["main/map"] == 1
    assert values["main/mask_ap"] == (pytest.approx(1) if shift == 0 else pytest.approx(0.6, abs=0.25))


def test_points_are_no_masks():
    dataset = ShapesDataset(3, 32)
    answers = [
        dataclasses.replace(answer, mask=None, point=np.zeros((len(answer), 17, 2), np.float32))
        for answer in truth_as_answers(dataset)
    ]
    pytest.importorskip("pycocotools")
    assert list(evaluate(detector_of(answers), dataset).coco()) == ["box"]


def test_what_is_broken_is_reported_and_left_out():
    dataset = ShapesDataset(4, 32)
    original = dataset._getters[0]

    def image(i):
        if i == 1:
            raise DataError("x.png: is damaged")
        return original(i)

    answers = list(truth_as_answers(dataset))
    dataset._getters[0] = image
    reports = []
    evaluation = evaluate(detector_of([answers[0], answers[2], answers[3]]), dataset, report=reports.append)
    assert reports == ["x.png: is damaged: left out"]
    assert evaluation.n_images == 3
    assert set(evaluation.voc().values()) == {1}


def test_boxes_that_are_no_numbers_are_reported_and_left_out():
    dataset = ShapesDataset(1, 32)
    answers = list(truth_as_answers(dataset))
    bbox, label, mask, area = dataset.read(0, ("bbox", "label", "mask", "area"))
    wrong = np.concatenate((bbox, np.float32([[1, 2, np.nan, 9.5]])))
    rest = [np.concatenate((value, value[:1])) for value in (label, mask, area)]
    dataset._getters[1] = lambda i: (wrong, *rest)
    reports = []
    evaluation = evaluate(detector_of(answers), dataset, report=reports.append)
    assert reports == ["shapes-0-0: box (1, 2, nan, 9.5) has a coordinate that is no number: left out"]
    assert {ap for ap in evaluation.voc().values() if not np.isnan(ap)} == {1}


def test_nothing_there_is_not_a_number():
    evaluation = Evaluation(("a", "b"))
    assert all(map(np.isnan, evaluation.voc().values()))
    found = {"bbox": box(0, 0, 9, 9), "label": np.zeros(1, int), "score": np.ones(1)}
    evaluation.add(0, found, {"bbox": NOTHING[0], "label": NOTHING[1]})
    assert all(map(np.isnan, evaluation.voc().values()))
    evaluation.add(1, found, {"bbox": box(0, 0, 9, 9), "label": np.zeros(1, int), "crowded": np.ones(1, bool)})
    assert all(map(np.isnan, evaluation.voc().values()))


def small_detector():
    np.random.seed(0)
    model = models.fasterrcnn_resnet_fpn(
        18, n_fg_class=3, stages=(3,), fpn_channels=8, head_channels=8, min_size=32, max_size=64,
        label_names=("circle", "square", "triangle"),
    )  # fmt: skip
    model.score_thresh = 0.0
    return model


def test_the_extension_reports_to_a_trainer(tmp_path):
    pytest.importorskip("pycocotools")
    dataset, detector = ShapesDataset(4, 32), small_detector()
    iterator = chainer.iterators.SerialIterator(np.zeros((2, 1), np.float32), 1)
    optimizer = chainer.optimizers.SGD(0).setup(chainer.Sequential(chainer.links.Linear(1, 1), chainer.functions.sum))
    trainer = chainer.training.Trainer(chainer.training.StandardUpdater(iterator, optimizer), (1, "epoch"), tmp_path)
    trainer.extend(DetectionEvaluator(dataset, detector, coco=True))
    trainer.extend(chainer.training.extensions.LogReport())
    trainer.run()
    (line,) = json.loads((tmp_path / "log").read_text())
    detector.score_thresh = 0.0
    expected = evaluate(detector, dataset)
    figures = {name: value for name, value in expected.coco()["box"].items() if not np.isnan(value)}
    assert {key: line[f"validation/main/coco/box/{key}"] for key in figures} == pytest.approx(figures)
    assert "validation/main/map" in line
    assert "validation/main/ap/circle" in line


def test_chainercvs_evaluators_run_and_agree():
    pytest.importorskip("pycocotools")
    dataset, detector = ShapesDataset(5, 32), small_detector()

    def theirs(kind, **options):
        iterator = chainer.iterators.SerialIterator(dataset, 2, repeat=False, shuffle=False)
        return kind(iterator, detector, label_names=dataset.label_names, **options)()

    ours = DetectionEvaluator(dataset, detector, coco=True)()
    dataset.keys = ("img", "bbox", "label")
    voc = theirs(DetectionVOCEvaluator)
    for name in ("map", "ap/circle", "ap/square", "ap/triangle"):
        assert ours[f"main/{name}"] == pytest.approx(voc[f"main/{name}"], nan_ok=True)
    dataset.add_getter("crowded", lambda i: np.zeros(len(dataset.read(i, ["bbox"])[0]), bool))
    dataset.keys = ("img", "bbox", "label", "area", "crowded")
    coco = theirs(DetectionCOCOEvaluator)
    for name, (iou, area, n) in FIGURES.items():
        key = f"main/m{name[:2].lower()}/iou={iou}/area={area}/max_dets={n}"
        assert ours[f"main/coco/box/{name}"] == pytest.approx(coco[key], rel=1e-4, nan_ok=True)


class Shares:
    """A communicator of several processes that run one after the other."""

    size = 3

    def __init__(self, rank, gathered):
        self.rank = rank
        self.gathered = gathered

    def gather_obj(self, value):
        self.gathered[self.rank] = value
        return [self.gathered[rank] for rank in range(self.size)] if self.rank == 0 else None


def test_processes_share_the_work():
    dataset, detector, gathered = ShapesDataset(7, 32), small_detector(), {}
    reported = [DetectionEvaluator(dataset, detector, comm=Shares(rank, gathered))() for rank in (2, 1, 0)]
    assert reported[:2] == [{}, {}]
    alone = DetectionEvaluator(dataset, detector)()
    assert reported[2].keys() == alone.keys()
    assert list(reported[2].values()) == pytest.approx(list(alone.values()), nan_ok=True)


def test_precision_over_recall_by_hand(tmp_path):
    """Two of three objects are found, at scores around a mistake."""
    evaluation = Evaluation(("cat", "dog", "bird"))
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]], np.float32)
    found = {"bbox": boxes[[0, 0, 1]], "label": np.zeros(3, np.int32), "score": np.array([0.9, 0.8, 0.7])}
    assert evaluation.precision_recall() == {}
    draw_precision_recall(evaluation, tmp_path / "none.png")
    evaluation.add(3, found, {"bbox": boxes, "label": np.zeros(3, np.int32)})
    curves = evaluation.precision_recall()
    assert list(curves) == ["cat"]
    np.testing.assert_allclose(curves["cat"], [[1, 1 / 2, 2 / 3], [1 / 3, 1 / 3, 2 / 3]])
    ((i, detections),) = evaluation.detections()
    assert (i, detections.keys()) == (3, {"bbox", "label", "score"})
    draw_precision_recall(evaluation, tmp_path / "pr.png")
    assert [path.name for path in tmp_path.iterdir()] == ["pr.png"]


def test_mistakes_are_what_voc_calls_wrong_and_missed():
    evaluation = Evaluation(("cat", "dog"))
    right, twice, beside, crowd = [0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [40, 40, 60, 60]
    truth = {
        "bbox": np.array([right, beside, crowd], np.float32),
        "label": np.array([0, 0, 0]),
        "crowded": np.array([False, False, True]),
    }
    found = {  # the better of two is right, of the wrong class, in a crowd, not sure enough
        "bbox": np.array([twice, right, beside, crowd, beside], np.float32),
        "label": np.array([0, 0, 1, 0, 0]),
        "score": np.array([0.7, 0.9, 0.8, 0.9, 0.5], np.float32),
    }
    evaluation.add(3, found, truth)
    evaluation.add(
        4, {key: value[1:2] for key, value in found.items()}, {key: value[:1] for key, value in truth.items()}
    )
    empty = {"bbox": np.zeros((0, 4), np.float32), "label": np.zeros(0, int)}
    evaluation.add(5, found, empty)
    evaluation.add(6, {**empty, "score": np.zeros(0)}, empty)
    mistakes = evaluation.mistakes(0.5)
    assert mistakes.keys() == {3, 5}
    wrong, missed = mistakes[3]
    assert (wrong["bbox"].tolist(), wrong["label"].tolist()) == ([beside, twice], [1, 0])
    np.testing.assert_allclose(wrong["score"], [0.8, 0.7])
    assert (missed["bbox"].tolist(), missed["label"].tolist()) == ([beside], [0])
    assert [len(side["label"]) for side in mistakes[5]] == [4, 0]


def test_mistakes_count_the_last_pixels_of_boxes_as_voc_does():
    evaluation = Evaluation(("cat",))
    truth = {"bbox": np.array([[0, 0, 3, 3]], np.float32), "label": np.array([0])}
    found = {**truth, "bbox": np.array([[0, 0, 1.1, 3]], np.float32), "score": np.array([0.9], np.float32)}
    evaluation.add(0, found, truth)  # IoU 1.1 / 3, and of VOC 2.1 / 4
    assert evaluation.voc() == {"cat": 1}
    assert not evaluation.mistakes(0.5)


def test_the_figure_of_the_only_class_is_not_drawn_for_it_is_the_mean(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "write_curves", lambda path, curves, **options: drawn.extend(curves))
    names = "map", "ap/cat", "coco/box/AP"
    log = [{"epoch": 1, **{f"validation/main/{name}": 0.5 for name in names}}]
    report = Mock(log=log)
    plots.PlotMetrics(tmp_path).draw(Mock(get_extension=lambda name: report))
    assert drawn == ["map", "coco/box/AP"]
