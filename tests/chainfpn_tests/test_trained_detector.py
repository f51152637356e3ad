"""A detector that torchvision trained gives torchvision's boxes, and its accuracy."""

import json
import re

import numpy as np
import pytest
from chainercv.evaluations import eval_detection_voc
from chainercv.utils import read_image

import weights_convert
from chainfpn import models
from chainfpn.data import weights_path

PHOTOS = ("000456.jpg", "astronaut.png", "chelsea.png", "coffee.png", "dog.jpg", "person.jpg")
META = {"label_names": ["person"], "min_size": 368, "max_size": 512}

#: Builds the detector as its description says, and runs it on every photograph.
LIVE = """
    from torchvision.models.detection import FasterRCNN, backbone_utils, faster_rcnn
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

    trunk = torchvision.models.resnet18(norm_layer=FrozenBatchNorm2d)
    stages = {f"layer{i + 1}": str(i) for i in range(3)}
    model = FasterRCNN(
        backbone_utils.BackboneWithFPN(trunk, stages, [64, 128, 256], 128),
        rpn_anchor_generator=AnchorGenerator(((32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 4),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2),
        box_head=faster_rcnn.TwoMLPHead(128 * 49, 256),
        box_predictor=faster_rcnn.FastRCNNPredictor(256, 2),
        min_size=368,
        max_size=512,
    )
    state = torch.load(str(inputs["weights"]), map_location="cpu")
    model.load_state_dict(state)
    model.eval()
    for name, image in inputs.items():
        if name != "weights":
            with torch.no_grad():
                (found,) = model([torch.from_numpy(image) / 255])
            for key, value in found.items():
                outputs[f"{name}/{key}"] = value
"""


@pytest.fixture(scope="module")
def checkpoint(shared_data):
    return shared_data / "weights" / "fasterrcnn_resnet18_c4_fpn128_person.pth"


@pytest.fixture(scope="module")
def detector(checkpoint, tmp_path_factory):
    """The detector in float32, through a file."""
    path = tmp_path_factory.mktemp("weights") / "person.npz"
    weights_convert.convert(checkpoint, path, meta=META)
    return models.load(path)


def test_boxes_are_those_of_live_torchvision(detector, checkpoint, shared_data, torchvision_live):
    images = {name: read_image(shared_data / "photos" / name) for name in PHOTOS}
    live = torchvision_live.run(LIVE, weights=np.array(str(checkpoint)), **images)
    detector.use_preset("evaluate")
    n_detections = 0
    for name, image in images.items():
        (bbox,), (label,), (score,) = detector.predict([image])
        expected = live[f"{name}/boxes"][:, [1, 0, 3, 2]]
        assert len(bbox) == len(expected), name
        np.testing.assert_array_equal(label, live[f"{name}/labels"] - 1)
        np.testing.assert_allclose(bbox, expected, rtol=0, atol=0.05)
        np.testing.assert_allclose(score, live[f"{name}/scores"], rtol=0, atol=1e-4)
        n_detections += len(bbox)
    assert n_detections > 20


def read_boxes(path):
    """Read the boxes of a Penn-Fudan annotation: float32, (R, 4), yxyx; the file counts pixels from 1."""
    corners = re.findall(r"\(Xmax, Ymax\) : \((\d+), (\d+)\) - \((\d+), (\d+)\)", path.read_text())
    boxes = np.array(corners, dtype=np.float32).reshape(-1, 4)
    return boxes[:, [1, 0, 3, 2]] - np.array([1, 1, 0, 0], dtype=np.float32)


def average_precision(detector, shared_data):
    """Evaluate on the 50 photographs that the detector was not trained with: AP50, pedestrians, detections."""
    folder = shared_data / "pennfudan"
    names = json.loads((shared_data / "weights" / "pennfudan_test.json").read_text())
    detector.use_preset("evaluate")
    bboxes, labels, scores, gt_bboxes = [], [], [], []
    for name in names:
        found = detector.predict([read_image(folder / "PNGImages" / name)])
        for values, (value,) in zip((bboxes, labels, scores), found, strict=True):
            values.append(value)
        gt_bboxes.append(read_boxes(folder / "Annotation" / name.replace(".png", ".txt")))
    gt_labels = [np.zeros(len(boxes), dtype=np.int32) for boxes in gt_bboxes]
    result = eval_detection_voc(bboxes, labels, scores, gt_bboxes, gt_labels)
    return result["map"], sum(map(len, gt_bboxes)), sum(map(len, bboxes))


def torchvision_result(shared_data):
    """Read what torchvision reached: AP50, pedestrians, detections."""
    text = (shared_data / "weights" / "result.txt").read_text()
    ap, pedestrians, detections = re.fullmatch(
        r"AP50 (\S+) on 50 images, (\d+) pedestrians, (\d+) detections, recall \S+\s*", text
    ).groups()
    return float(ap), int(pedestrians), int(detections)


@pytest.mark.slow
def test_average_precision_is_torchvisions(detector, shared_data):
    ap, n_pedestrians, n_detections = average_precision(detector, shared_data)
    expected = torchvision_result(shared_data)
    assert ap == pytest.approx(expected[0], abs=0.005)
    assert (n_pedestrians, n_detections) == expected[1:]


@pytest.mark.slow
def test_average_precision_of_the_bundled_float16_weights(shared_data):
    ap, _, _ = average_precision(models.load(weights_path()), shared_data)
    assert ap == pytest.approx(torchvision_result(shared_data)[0], abs=0.01)


def test_the_bundled_weights_are_the_checkpoints_in_float16(checkpoint, shared_data):
    arrays, meta, _ = weights_convert.convert_arrays(checkpoint, meta=META, dtype="float16")
    with np.load(weights_path(), allow_pickle=False) as bundled:
        bundled = {name: bundled[name] for name in bundled.files}
    assert json.loads(str(bundled.pop("__meta__"))) == meta
    assert bundled.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(bundled[name], array)
