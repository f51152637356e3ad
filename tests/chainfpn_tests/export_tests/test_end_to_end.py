"""End-to-end files find in plain ONNX Runtime what ``predict`` finds, whatever the size of the photograph."""

import json

import chainer
import numpy as np
import onnx
import onnxruntime
import pytest

import chainfpn
from chainfpn import models
from chainfpn.data import weights_path
from chainfpn.errors import InvalidArgument
from chainfpn.export import ExportError
from chainfpn.export.end_to_end.prepare import prepare
from chainfpn.export.graph import Graph
from chainfpn.functions.kernels.geometry import LevelRule
from chainfpn.links import Detections, Preprocess
from reference.agreement import disagreement
from reference.classifier_answers import without_initial_values
from reference.openvino_models import openvino_model
from reference.photographs import photographs
from reference.seeded_weights import fill_link
from reference.small_detectors import BASIC_GAINS, SMALL, build_small, small_options

pytestmark = pytest.mark.slow  # whole networks and trainings, all of them together

#: Of the outputs, those of every detector.
BOXES = ["bboxes", "labels", "scores"]


def session_of(detector, path):
    """Export a detector, and load the file."""
    chainfpn.export_onnx(detector, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def found_by(session, img):
    """Run a file: detections as those of ``detect``."""
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"image": img}), strict=True))
    others = (outputs.get(name) for name in ("masks", "points", "point_scores"))
    return Detections(*(outputs[name] for name in BOXES), *others)


def odd_photographs():
    """Return photographs of more sizes: a strip, and one of a few pixels."""
    imgs = photographs()
    landscape = imgs["landscape"]
    return {**imgs, "strip": landscape[:, :37].copy(), "tiny": landscape[:, 100:113, 200:209].copy()}


#: The largest heads, and kuangliu's pyramid.
LARGE = {"keypointrcnn_resnet_fpn", "retinanet_kuangliu"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough) if name in LARGE else name for name in SMALL]
)
def test_every_photograph(name, tmp_path):
    detector = build_small(name)
    session = session_of(detector, tmp_path / "detector.onnx")
    assert [output.name for output in session.get_outputs()][:3] == BOXES
    for size, img in odd_photographs().items():
        (expected,) = detector.detect([img])
        found = found_by(session, img)
        assert disagreement(found, expected) == "", size
        for field in ("bbox", "label", "score", "mask", "point", "point_score"):
            one, other = getattr(found, field), getattr(expected, field)
            assert other is None or (one.dtype, one.shape) == (other.dtype, other.shape), (size, field)


#: Other trunks and heads with the builders' own sizes, to their options: what takes longer, and shows the same.
OTHERS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": {},
    "ssdlite320_mobilenet_v3_large": {},
    "ssd300_vgg16": {},
    **{
        name: {**small_options(name), "min_size": 120, "max_size": 200}
        for name in ("cascade_rcnn_resnet_fpn", "maskrcnn_resnet_fpn_v2")
    },
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", OTHERS)
def test_detectors_of_other_trunks(name, tmp_path):
    with without_initial_values():
        detector = getattr(models, name)(**OTHERS[name])
    fill_link(detector, BASIC_GAINS)
    detector.score_thresh = 0.02
    session = session_of(detector, tmp_path / "detector.onnx")
    for img in [*photographs().values()][::2]:
        (expected,) = detector.detect([img])
        assert len(expected) > 0
        assert disagreement(found_by(session, img), expected) == ""


def test_every_detector_is_among_them():
    """Those on a ResNet-50 are those on any ResNet; the other MobileNet's detector differs by sizes."""
    names = {name.replace("resnet50", "resnet") for name, model in models.MODELS.items() if "labels" in model.returns}
    assert names - {*SMALL, *OTHERS} == {"fasterrcnn_mobilenet_v3_large_fpn"}


def test_pooling_and_boxes_of_other_frameworks(tmp_path):
    detector, imgs = build_small("fasterrcnn_resnet_fpn"), photographs()
    (before,) = detector.detect([imgs["landscape"]])
    detector.rpn.min_log_scale = detector.roi_heads.min_log_scale = -0.05
    detector.roi_heads.aligned, detector.roi_heads.sampling_ratio = True, 0
    detector.roi_heads.level_rule = LevelRule(28, 2, ratio_eps=1e-6, level_eps=0.0)
    detector.preprocess = Preprocess(120, 200, channel_order="BGR")
    session = session_of(detector, tmp_path / "detector.onnx")
    for img in imgs.values():
        (expected,) = detector.detect([img])
        assert disagreement(found_by(session, img), expected) == ""
    assert disagreement(before, detector.detect([imgs["landscape"]])[0]) != ""


@pytest.mark.parametrize("rules", ["detectron2", "mmdetection"])
def test_an_input_of_whole_numbers_is_refused(rules, tmp_path):
    with pytest.raises(ExportError, match="the preprocess must be a Preprocess to be in the file"):
        chainfpn.export_onnx(build_small("fasterrcnn_resnet_fpn", rules=rules), tmp_path / "detector.onnx")
    detector = build_small("fasterrcnn_resnet_fpn")
    detector.clip_to_photograph = True
    with pytest.raises(ExportError, match="detections and keypoints must be torchvision's"):
        chainfpn.export_onnx(detector, tmp_path / "detector.onnx")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["maskrcnn_resnet_fpn", "keypointrcnn_resnet_fpn", "fcos_resnet_fpn"])
def test_nothing_found_is_no_error(name, tmp_path):
    detector = build_small(name)
    detector.score_thresh = 1.0
    session, (img,) = session_of(detector, tmp_path / "detector.onnx"), [*photographs().values()][2:]
    (expected,) = detector.detect([img])
    found = found_by(session, img)
    assert len(found) == len(expected) == 0
    for field in ("bbox", "mask", "point", "point_score"):
        assert getattr(expected, field) is None or getattr(found, field).shape == getattr(expected, field).shape


def test_labels_are_those_of_the_class_ids(tmp_path):
    """Detections of a class id that has no label are left out, last of all."""
    detector = build_small("fasterrcnn_resnet_fpn", n_fg_class=2, class_ids=(3, 1))
    (img,) = [*photographs().values()][2:]
    (expected,) = detector.detect([img])
    assert 0 < len(expected) < 12
    assert disagreement(found_by(session_of(detector, tmp_path / "detector.onnx"), img), expected) == ""


def test_the_bundled_detector(tmp_path):
    detector = models.load(weights_path())
    session = session_of(detector, tmp_path / "person.onnx")
    for img in photographs().values():
        (expected,) = detector.detect([img])
        assert len(expected) > 0
        assert disagreement(found_by(session, img), expected) == ""
    texts = {entry.key: entry.value for entry in onnx.load(tmp_path / "person.onnx").metadata_props}
    assert (texts["form"], json.loads(texts["label_names"])) == ("end_to_end", ["person"])


@pytest.mark.parametrize("preprocess", [Preprocess(120, 200), Preprocess((96, 300), 301, size_divisible=8),
                                        Preprocess(fixed_size=(120, 90), size_divisible=1)])  # fmt: skip
def test_images_are_prepared_as_by_preprocess(preprocess):
    graph = Graph()
    prepared = prepare(graph, preprocess)
    graph.output("x", prepared.x, (1, 3, "rows", "columns"))
    graph.output("size", prepared.size, (2,))
    content = graph.model("preprocess", {}).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for height, width in ((333, 500), (321, 240), (17, 99), (1, 1), (480, 640)):
        img = random.uniform(0, 255, (3, height, width)).astype(np.float32)
        with chainer.using_config("train", False):
            x, (size,) = preprocess([img])
        found, found_size = session.run(None, {"image": img})
        assert tuple(found_size) == tuple(size)
        np.testing.assert_allclose(found, x, atol=1e-3)


def test_what_has_no_end_to_end_form_is_said(tmp_path):
    path = tmp_path / "x.onnx"
    with without_initial_values():
        detector = models.fasterrcnn_resnet_fpn(depth=18, n_fg_class=3, fpn_channels=32, rules="chainercv")
        dense = models.retinanet_resnet_fpn(depth=18, n_fg_class=3, fpn_channels=32)
        classifier = models.squeezenet1_1(n_class=3)
    dense.clip_before_nms = False
    with pytest.raises(ExportError, match="boxes must be chosen and clipped by torchvision's rules to be in the file"):
        chainfpn.export_onnx(dense, path, form="end_to_end")
    with pytest.raises(ExportError, match="preprocess must be a Preprocess to be in the file, got a ChainerCVPre"):
        chainfpn.export_onnx(detector, path)
    with pytest.raises(InvalidArgument, match="form must be dense for what is no detector, got 'end_to_end'"):
        chainfpn.export_onnx(classifier, path, form="end_to_end")
    with pytest.raises(InvalidArgument, match="form must be one of dense, end_to_end, got 'sparse'"):
        chainfpn.export_onnx(classifier, path, form="sparse")
    assert not path.exists()


#: One of each kind of head.
KINDS = {"maskrcnn_resnet_fpn", "keypointrcnn_resnet_fpn", "fcos_resnet_fpn", "ssd"}


@pytest.mark.parametrize(
    "name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.thorough) for name in SMALL]
)
def test_openvino_finds_the_same(name, tmp_path):
    detector = build_small(name)
    (path,) = chainfpn.export_onnx(detector, tmp_path / "detector.onnx")
    run = openvino_model(path.read_bytes())
    for img in photographs().values():
        outputs = run(img)
        others = (outputs.get(name) for name in ("masks", "points", "point_scores"))
        found = Detections(*(outputs[name] for name in BOXES), *others)
        (expected,) = detector.detect([img])
        assert disagreement(found, expected) == ""
