"""The parts of ChainerCV that our users' pipelines lean on run, with warnings as errors."""

import chainer
import numpy as np
import pytest
from chainercv import evaluations, transforms, utils, visualizations
from chainercv.links.model.fpn import mask_utils

BBOX = np.array([[1, 1, 9, 9], [3, 3, 20, 20]], dtype=np.float32)
LABEL = np.array([0, 1], dtype=np.int32)
SCORE = np.array([0.9, 0.8], dtype=np.float32)
IMG = np.random.default_rng(0).uniform(0, 255, (3, 32, 40)).astype(np.float32)


@pytest.fixture
def mask():
    """Return one mask per box, filling it."""
    mask = np.zeros((2, 32, 40), dtype=bool)
    mask[0, 1:9, 1:9] = True
    mask[1, 3:20, 3:20] = True
    return mask


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_detections_equal_to_the_truth_have_ap_1(name):
    if name == "coco":
        pytest.importorskip("pycocotools")
    evaluate = getattr(evaluations, f"eval_detection_{name}")
    result = evaluate([BBOX], [LABEL], [SCORE], [BBOX], [LABEL])
    assert result["map" if name == "voc" else "map/iou=0.50/area=all/max_dets=100"] == pytest.approx(1)


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_masks_equal_to_the_truth_have_ap_1(name, mask):
    if name == "coco":
        pytest.importorskip("pycocotools")
    evaluate = getattr(evaluations, f"eval_instance_segmentation_{name}")
    result = evaluate([mask], [LABEL], [SCORE], [mask], [LABEL])
    assert result["map" if name == "voc" else "map/iou=0.50/area=all/max_dets=100"] == pytest.approx(1)


def test_boxes_are_drawn(pyplot):
    axes = visualizations.vis_bbox(IMG, BBOX, LABEL, SCORE, label_names=["a", "b"])
    assert sorted(text.get_text() for text in axes.texts) == ["a: 0.90", "b: 0.80"]


def test_masks_and_points_are_drawn(pyplot, mask):
    visualizations.vis_instance_segmentation(IMG, mask, LABEL, SCORE, label_names=["a", "b"])
    axes = visualizations.vis_point(IMG, BBOX.reshape(1, 4, 2))
    assert len(axes.collections) > 0


def test_mask_utilities_agree_with_the_boxes(mask):
    np.testing.assert_array_equal(utils.mask_to_bbox(mask), BBOX)
    np.testing.assert_array_equal(np.diag(utils.mask_iou(mask, mask)), [1, 1])


def test_masks_are_scaled_and_pasted(mask):
    pytest.importorskip("cv2", reason="ChainerCV resizes masks with OpenCV alone")
    assert utils.scale_mask(mask, BBOX, 64).shape == (2, 64, 80)
    pasted = mask_utils.segm_to_mask(np.ones((2, 28, 28), np.float32), BBOX, (32, 40))
    np.testing.assert_array_equal(utils.mask_to_bbox(pasted), BBOX)


@pytest.mark.parametrize("backend", ["cv2", "PIL"])
def test_images_are_read_resized_and_turned(backend, tmp_path):
    pytest.importorskip(backend)
    with chainer.using_config("cv_read_image_backend", backend), chainer.using_config("cv_resize_backend", backend):
        utils.write_image(IMG, str(tmp_path / "image.png"))
        assert utils.read_image(str(tmp_path / "image.png")).shape == (3, 32, 40)
        assert transforms.resize(IMG, (50, 60)).shape == (3, 50, 60)
    with chainer.using_config("cv_rotate_backend", backend):
        assert transforms.rotate(IMG, 90).shape[:2] == (3, 40)


def test_boxes_are_resized_flipped_and_cropped():
    np.testing.assert_array_equal(transforms.resize_bbox(BBOX, (32, 40), (64, 80)), BBOX * 2)
    np.testing.assert_array_equal(transforms.flip_bbox(BBOX, (32, 40), x_flip=True)[0], [1, 31, 9, 39])
    np.testing.assert_array_equal(transforms.crop_bbox(BBOX, slice(2, 10), slice(2, 10))[0], [0, 0, 7, 7])


def test_a_network_exported_to_caffe_comes_back(tmp_path):
    pytest.importorskip("google.protobuf")
    from chainer.exporters import caffe
    from chainer.links.caffe import CaffeFunction

    network = chainer.Sequential(
        chainer.links.Convolution2D(3, 4, 3), chainer.functions.relu, chainer.links.Linear(None, 2)
    )
    x = chainer.Variable(IMG[None, :, :8, :8])
    with chainer.using_config("train", False):
        expected = network(x)
        caffe.export(network, [x], str(tmp_path))
        function = CaffeFunction(str(tmp_path / "chainer_model.caffemodel"))
        _, _, (output,) = function.layers[-1]
        (found,) = function(inputs={"data": x}, outputs=[output])
    np.testing.assert_array_equal(found.array, expected.array)
