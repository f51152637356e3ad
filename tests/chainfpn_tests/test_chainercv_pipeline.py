"""ChainerCV's own tools take the detector as they take ChainerCV's detectors."""

import json

import chainer
import numpy as np
import pytest
from chainercv.chainer_experimental.datasets.sliceable import GetterDataset
from chainercv.evaluations import eval_detection_coco, eval_detection_voc
from chainercv.utils import apply_to_iterator, read_image
from chainercv.visualizations import vis_bbox

from chainfpn import models
from chainfpn.data import weights_path

N_IMAGES = 8


class PeopleOfCOCO128(GetterDataset):
    """The first photographs of COCO128 that show people: image, boxes, labels, areas and crowd flags."""

    def __init__(self, folder):
        super().__init__()
        self._folder = folder / "train2017"
        annotations = json.loads((folder / "annotations" / "instances_train2017.json").read_text())
        (person,) = (c["id"] for c in annotations["categories"] if c["name"] == "person")
        self._people = {}
        for annotation in annotations["annotations"]:
            if annotation["category_id"] == person:
                self._people.setdefault(annotation["image_id"], []).append(annotation)
        self._images = [image for image in annotations["images"] if image["id"] in self._people][:N_IMAGES]
        self.add_getter("img", lambda i: read_image(self._folder / self._images[i]["file_name"]))
        self.add_getter(("bbox", "label", "area", "crowded"), self._annotation)

    def __len__(self):
        return len(self._images)

    def _annotation(self, i):
        people = self._people[self._images[i]["id"]]
        x, y, width, height = np.array([person["bbox"] for person in people], dtype=np.float32).T
        area = np.array([person["area"] for person in people], dtype=np.float32)
        crowded = np.array([person["iscrowd"] for person in people], dtype=bool)
        return np.stack((y, x, y + height, x + width), axis=1), np.zeros(len(people), dtype=np.int32), area, crowded


@pytest.fixture(scope="module")
def detector():
    return models.load(weights_path())


@pytest.fixture(scope="module")
def results(detector, shared_data):
    """Predictions and ground truth of the whole set, as ChainerCV's iterator hands them out."""
    dataset = PeopleOfCOCO128(shared_data / "coco128")
    iterator = chainer.iterators.SerialIterator(dataset, 3, repeat=False, shuffle=False)
    in_values, out_values, rest_values = apply_to_iterator(detector.predict, iterator)
    del in_values
    return [list(values) for values in (*out_values, *rest_values)]


@pytest.mark.slow
def test_apply_to_iterator_gives_a_result_per_image(results):
    bboxes, labels, scores, gt_bboxes, *_ = results
    assert len(bboxes) == len(labels) == len(scores) == len(gt_bboxes) == N_IMAGES
    assert all(
        bbox.dtype == np.float32 and bbox.shape == (len(label), 4) for bbox, label in zip(bboxes, labels, strict=True)
    )
    assert all(label.dtype == np.int32 and (label == 0).all() for label in labels)
    assert sum(map(len, bboxes)) > N_IMAGES


def test_eval_detection_voc_takes_them(results):
    bboxes, labels, scores, gt_bboxes, gt_labels, _, crowded = results
    found = eval_detection_voc(bboxes, labels, scores, gt_bboxes, gt_labels, crowded)
    assert found["ap"].shape == (1,)
    assert 0.3 < found["map"] < 1  # it was trained on these images: far from nothing, and not perfect


@pytest.mark.filterwarnings("ignore:unclosed file .*/dev/null:ResourceWarning")  # ChainerCV's
def test_eval_detection_coco_takes_them(results):
    bboxes, labels, scores, gt_bboxes, gt_labels, areas, crowded = results
    found = eval_detection_coco(bboxes, labels, scores, gt_bboxes, gt_labels, areas, crowded)
    ap50 = found["map/iou=0.50/area=all/max_dets=100"]
    assert 0 < found["map/iou=0.50:0.95/area=all/max_dets=100"] < ap50
    voc = eval_detection_voc(bboxes, labels, scores, gt_bboxes, gt_labels, crowded)["map"]
    assert ap50 == pytest.approx(voc, abs=0.02)


def test_vis_bbox_draws_them(detector, shared_data):
    import matplotlib

    matplotlib.use("Agg")
    img = read_image(shared_data / "photos" / "person.jpg")
    detector.use_preset("visualize")
    bboxes, labels, scores = detector.predict([img])
    axes = vis_bbox(img, bboxes[0], labels[0], scores[0], label_names=detector.label_names)
    assert [text.get_text() for text in axes.texts] == ["person: 0.99"]
    (box,) = axes.patches
    assert box.get_y() == pytest.approx(bboxes[0][0, 0])
    assert box.get_width() == pytest.approx(bboxes[0][0, 3] - bboxes[0][0, 1])
    matplotlib.pyplot.close(axes.figure)
