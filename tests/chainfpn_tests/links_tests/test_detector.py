"""What all detectors share, with a detector that finds what it is told to."""

import re

import chainer
import numpy as np
import pytest
from PIL import Image

from chainfpn.links import Detections, Detector, Preprocess, RawDetections
from chainfpn.links.detectors.detections import download


class Told(Detector):
    """Finds two things in every image, in pixels of the batch."""

    found = RawDetections(
        np.array([[0, 0, 10, 20], [5, 5, 20, 40]], dtype=np.float32),
        np.array([1, 3], dtype=np.int32),
        np.array([0.9, 0.4], dtype=np.float32),
    )

    def forward(self, x, sizes):
        """Find the same everywhere."""
        assert not chainer.config.train
        assert not chainer.config.enable_backprop
        return [self.found] * len(sizes)


def _img(height, width):
    return np.full((3, height, width), 128, dtype=np.float32)


def test_boxes_come_back_in_pixels_of_the_image():
    model = Told(n_fg_class=3, preprocess=Preprocess(20, 40))
    bboxes, labels, scores = model.predict([_img(10, 20), _img(40, 40)])
    np.testing.assert_array_equal(bboxes[0], [[0, 0, 5, 10], [2.5, 2.5, 10, 20]])
    np.testing.assert_array_equal(bboxes[1], [[0, 0, 20, 40], [10, 10, 40, 80]])
    np.testing.assert_array_equal(labels[0], [0, 2])
    np.testing.assert_array_equal(scores[1], Told.found.score)
    assert bboxes[0].dtype == scores[0].dtype == np.float32
    assert labels[0].dtype == np.int32


def test_boxes_are_clipped_to_the_photograph_last_of_all():
    """And what has no area there is dropped, with what belongs to it."""
    model = Told(n_fg_class=3, preprocess=Preprocess(20, 40))
    model.found = RawDetections(
        np.array([[-4, 2, 30, 50], [5, 5, 20, 8], [3, 40, 9, 44]], np.float32),
        np.array([1, 2, 3], np.int32), np.array([0.9, 0.5, 0.4], np.float32), point=np.arange(6.0).reshape(3, 1, 2),
    )  # fmt: skip
    assert len(model.detect([_img(10, 20)])[0]) == 3
    model.clip_to_photograph = True
    (found,) = model.detect([_img(10, 20)])
    np.testing.assert_array_equal(found.bbox, [[0, 1, 10, 20], [2.5, 2.5, 10, 4]])
    assert (found.label.tolist(), found.score.tolist()) == ([0, 1], [np.float32(0.9), 0.5])
    assert found.point.tolist() == [[[0, 1]], [[2, 3]]]


def test_records_have_what_predict_returns():
    model = Told(n_fg_class=3, preprocess=Preprocess(20, 40))
    imgs = [_img(10, 20), _img(40, 40)]
    found = model.detect(imgs)
    assert all(isinstance(detections, Detections) for detections in found)
    for field, arrays in zip(("bbox", "label", "score"), model.predict(imgs), strict=True):
        for detections, array in zip(found, arrays, strict=True):
            np.testing.assert_array_equal(getattr(detections, field), array)
    assert found[0].mask is found[0].point is None


def test_an_output_without_a_label_is_dropped():
    model = Told(n_fg_class=2, class_ids=(3, 7), label_names=("cat", "dog"), preprocess=Preprocess(20, 40))
    (bbox,), (label,), (score,) = model.predict([_img(20, 20)])
    np.testing.assert_array_equal(bbox, Told.found.bbox[1:])
    np.testing.assert_array_equal(label, [0])
    np.testing.assert_array_equal(score, Told.found.score[1:])


def test_an_output_beyond_the_table_is_dropped():
    model = Told(n_fg_class=1, preprocess=Preprocess(20, 40))
    (bbox,), (label,), _ = model.predict([_img(20, 20)])
    assert bbox.shape == (1, 4)
    np.testing.assert_array_equal(label, [0])


def test_presets():
    model = Told(n_fg_class=1)
    assert (model.score_thresh, model.nms_thresh) == (0.05, 0.5)
    model.use_preset("visualize")
    assert (model.score_thresh, model.nms_thresh) == (0.7, 0.5)
    with pytest.raises(ValueError, match=r"use_preset: preset must be one of \['evaluate', 'visualize'\], got 'fast'"):
        model.use_preset("fast")


@pytest.mark.parametrize(("option", "value"), [("class_ids", (1,)), ("label_names", ("a", "b", "c"))])
def test_lists_of_the_wrong_length_are_named(option, value):
    with pytest.raises(ValueError, match=f"Detector: {option} must have n_fg_class = 2 entries, got {len(value)}"):
        Told(n_fg_class=2, **{option: value})


@pytest.mark.parametrize("shape", [(10, 10), (4, 10, 10), (3, 0, 10)])
def test_what_is_no_image_is_named(shape):
    with pytest.raises(ValueError, match=r"prepare: imgs\[1\] must be \(3, H, W\), not empty, got shape"):
        Told(n_fg_class=1).predict([_img(5, 5), np.zeros(shape, dtype=np.float32)])


def test_no_image_gives_empty_lists():
    model = Told(n_fg_class=1)
    assert model.detect([]) == []
    assert model.predict([]) == ([], [], [])
    with pytest.raises(ValueError, match="prepare: imgs must have at least one image, got none"):
        model.prepare([])


@pytest.mark.parametrize("img", [Image.new("RGB", (4, 4)), [[[0.0]]] * 3], ids=["Image", "list"])
def test_a_picture_or_list_is_refused_with_the_way_to_an_array(img):
    way = "an array (3, H, W), as chainfpn.images.to_array makes of a picture"
    with pytest.raises(TypeError, match=re.escape(f"prepare: imgs[0] must be {way}, got {type(img).__name__}")):
        Told(n_fg_class=1).predict([img])


def test_pixels_in_0_to_1_are_warned_of_once():
    model = Told(n_fg_class=1, preprocess=Preprocess(20, 40))
    model.predict([0 * _img(9, 9)])  # black tells nothing
    message = r"Told: pixels must be in 0\.\.255, got an image whose largest is 0\.502; multiply by 255"
    with pytest.warns(UserWarning, match=message) as record:
        model.predict([_img(9, 9) / 255])
    assert record[0].filename == __file__
    model.predict([_img(9, 9) / 255])


def test_pixels_in_0_to_255_are_not_looked_at_again():
    model = Told(n_fg_class=1, preprocess=Preprocess(20, 40))
    model.predict([_img(9, 9)])
    model.predict([_img(9, 9) / 255])


def test_the_batch_is_padded_at_the_bottom_and_right():
    x, sizes = Preprocess(20, 100)([_img(20, 30), _img(40, 20)])
    assert sizes == [(20, 30), (40, 20)]
    assert x.shape == (2, 3, 64, 32)
    assert x.dtype == np.float32
    grey = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(x[0, :, 10, 10], grey, rtol=1e-6)
    assert not x[0, :, 20:].any()
    assert not x[0, :, :, 30:].any()


@pytest.mark.parametrize("seed", range(3))
def test_sizes_are_torchvisions(torchvision_live, seed):
    rng = np.random.RandomState(seed)
    sizes = rng.randint(1, 1500, (400, 2))
    out = torchvision_live.run(
        """
        from torchvision.models.detection.transform import GeneralizedRCNNTransform
        transform = GeneralizedRCNNTransform(800, 1333, [0.0], [1.0])
        torch.nn.functional.interpolate = lambda image, scale_factor, **_: torch.empty(
            1, 1, *(int(np.floor(float(n) * scale_factor)) for n in image.shape[2:])
        )
        resized = [transform.resize(torch.empty(1, *map(int, size)))[0] for size in inputs["sizes"]]
        outputs["sizes"] = np.array([image.shape[1:] for image in resized])
        """,
        sizes=sizes,
    )
    ours = np.array([Preprocess().resized_size(tuple(int(n) for n in size)) for size in sizes])
    np.testing.assert_array_equal(ours, np.maximum(out["sizes"], 1))


def test_limits_are_checked():
    with pytest.raises(ValueError, match="Preprocess: min_size must be > 0 and <= max_size, got 900 and 800"):
        Preprocess(900, 800)


def test_one_of_several_sizes_is_drawn_in_training_only():
    preprocess = Preprocess((8, 12, 16), 64)
    img = _img(32, 48)
    np.random.seed(0)
    drawn = [preprocess.resized_size((32, 48)) for _ in range(60)]
    assert set(drawn) == {(8, 12), (12, 18), (16, 24)}
    with chainer.using_config("train", False):
        assert {preprocess.resized_size((32, 48)) for _ in range(20)} == {(16, 24)}
    np.random.seed(0)
    assert preprocess([img])[1] == [drawn[0]]


def test_training_can_have_sizes_of_its_own():
    preprocess = Preprocess(16, 64)
    assert preprocess.train_sizes == (16,)
    preprocess.train_sizes = [8, 12]
    assert {preprocess.resized_size((32, 48)) for _ in range(60)} == {(8, 12), (12, 18)}
    with chainer.using_config("train", False):
        assert {preprocess.resized_size((32, 48)) for _ in range(20)} == {(16, 24)}


def test_each_of_several_sizes_is_checked():
    with pytest.raises(ValueError, match=r"Preprocess: min_size must be > 0 and <= max_size, got \(0, 8\) and 64"):
        Preprocess((0, 8), 64)
    preprocess = Preprocess(16, 64)
    for sizes in ((), (0, 8), (8, 65)):
        with pytest.raises(ValueError, match="Preprocess: train_sizes must be > 0 and <= max_size, got "):
            preprocess.train_sizes = sizes
    assert preprocess.train_sizes == (16,)


@pytest.mark.gpu
@pytest.mark.parametrize("n_found", [(2, 0, 3), (0,)])
def test_detections_of_a_batch_come_from_a_gpu_in_one_copy(n_found):
    cupy = pytest.importorskip("cupy")
    random = np.random.default_rng(0)
    expected = [
        RawDetections(
            random.uniform(0, 9, (n, 4)).astype(np.float32),
            random.integers(1, 91, n).astype(np.int32),
            random.uniform(0, 1, n).astype(np.float16),
            point=random.uniform(0, 9, (n, 5, 2)).astype(np.float32),
        )
        for n in n_found
    ]
    on_gpu = [RawDetections(*(None if a is None else cupy.asarray(a) for a in found)) for found in expected]
    for found, wanted in zip(download(on_gpu), expected, strict=True):
        for array, other in zip(found, wanted, strict=True):
            assert type(array) is type(other)
            if other is not None:
                assert array.dtype == other.dtype
                np.testing.assert_array_equal(array, other)
