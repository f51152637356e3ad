"""What classifiers share: torchvision's preprocess to the bit, probabilities, picking."""

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.links import ClassifierPreprocess, InceptionV3
from reference.photographs import photographs
from reference.seeded_weights import fill_link

#: Resize, crop and filter of published weights.
SIZES = ((256, 224, "bilinear"), (232, 224, "bilinear"), (342, 299, "bilinear"), (288, 288, "bicubic"))


@pytest.fixture(scope="module")
def imgs():
    """Photographs of several shapes, one that is already as it shall be, and one far from square."""
    found = photographs()
    found["fitting"] = np.ascontiguousarray(found["landscape"][:, :256, :301])
    found["narrow"] = np.ascontiguousarray(found["portrait"][:, :, :40])
    return found


@pytest.fixture(scope="module")
def model():
    """A small classifier with three classes."""
    link = models.mobilenet_v3_small(3)
    fill_link(link)
    return link


def test_preparation_is_torchvisions_to_the_bit(torchvision_live, imgs):
    prepared = torchvision_live.run(
        f"""
        from PIL import Image
        from torchvision.transforms._presets import ImageClassification
        from torchvision.transforms import InterpolationMode
        for resize, crop, kind in {SIZES}:
            preset = ImageClassification(crop_size=crop, resize_size=resize, interpolation=InterpolationMode(kind))
            for name, img in inputs.items():
                img = Image.fromarray(img.transpose(1, 2, 0).astype(np.uint8))
                outputs[f"{{resize}} {{name}}"] = preset(img)
        """,
        **imgs,
    )
    assert len(prepared) == len(SIZES) * len(imgs)
    for resize, crop, interpolation in SIZES:
        for name, img in imgs.items():
            x = ClassifierPreprocess(resize, crop, interpolation=interpolation)(img)
            assert x.shape == (3, crop, crop)
            np.testing.assert_array_equal(x, prepared[f"{resize} {name}"], err_msg=f"{resize} {name}")


def test_a_plain_image_by_hand():
    img = np.full((3, 300, 400), 255, dtype=np.float32)
    img[0] = 0
    x = ClassifierPreprocess()(img)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0], -0.485 / 0.229, rtol=1e-6)
    np.testing.assert_allclose(x[1], (1 - 0.456) / 0.224, rtol=1e-6)


def test_values_are_rounded_to_pixels_and_kept_in_range():
    img = np.full((3, 256, 256), 99.6, dtype=np.float32)
    img[1], img[2] = -3, 260
    x = ClassifierPreprocess(mean=(0, 0, 0), std=(1, 1, 1))(img)
    np.testing.assert_array_equal(x[:, 0, 0] * 255, [100, 0, 255])


def test_the_scores_are_probabilities_in_float32(model, imgs):
    scores = model.predict(list(imgs.values()))
    assert len(scores) == len(imgs)
    for score in scores:
        assert (score.shape, score.dtype) == ((3,), np.float32)
        assert score.sum() == pytest.approx(1)
    img = imgs["portrait"]
    with chainer.using_config("train", False):
        logits = model(model.prepare(img)[None]).array[0]
    np.testing.assert_allclose(scores[0], np.exp(logits) / np.exp(logits).sum(), rtol=1e-4)


def test_picking_does_not_change_what_is_predicted(model, imgs):
    before = model.predict([imgs["small"]])
    model.pick = ("features", "avgpool")
    try:
        with chainer.using_config("train", False):
            features, average = model(model.prepare(imgs["small"])[None])
        after = model.predict([imgs["small"]])
    finally:
        model.pick = None
    np.testing.assert_array_equal(before[0], after[0])
    assert features.shape == (1, 576, 7, 7)
    np.testing.assert_allclose(average.array, features.array.mean(axis=(2, 3)), rtol=1e-4)


def test_a_trunk_predicts_nothing(imgs):
    trunk = models.mobilenet_v3_small(3)
    trunk.pick = "features"
    trunk.remove_unused()
    with pytest.raises(ValueError, match=r"predict: the layers must end in 3 class scores, got \(1, 576, 7, 7\)"):
        trunk.predict([imgs["small"]])


def test_inner_features_can_be_picked(model, imgs):
    model.features.pick = ("3", "8")
    try:
        with chainer.using_config("train", False):
            fine, coarse = model.features(model.prepare(imgs["small"])[None])
    finally:
        model.features.pick = None
    assert (fine.shape, coarse.shape) == ((1, 24, 28, 28), (1, 48, 14, 14))


def test_prepare_gives_the_dtype_of_the_model(model, imgs):
    for dtype, expected in ((np.dtype("f2"), "f2"), (np.dtype("f8"), "f8"), (chainer.mixed16, "f2")):
        with chainer.using_config("dtype", dtype):
            assert model.prepare(imgs["small"]).dtype == np.dtype(expected)


def test_inception_sees_larger_images():
    assert InceptionV3.preprocess == ClassifierPreprocess(resize=342, crop=299)


@pytest.mark.parametrize("shape", [(1, 20, 20), (20, 20), (3, 0, 20), (20, 20, 3)])
def test_what_is_no_image_is_named(model, shape):
    with pytest.raises(ValueError, match=r"prepare: img must be \(3, H, W\), not empty, got shape"):
        model.prepare(np.zeros(shape, dtype=np.float32))


def test_no_image_gives_an_empty_list(model):
    assert model.predict([]) == []


def test_a_list_and_an_impossible_crop_are_named(model):
    with pytest.raises(TypeError, match=r"prepare: img must be an array \(3, H, W\), .*, got list"):
        model.predict([[[[0.0]]] * 3])
    with pytest.raises(ValueError, match=r"crop must be in 1\.\.resize = 200, got 224"):
        ClassifierPreprocess(resize=200)(np.zeros((3, 9, 9), dtype=np.float32))
    with pytest.raises(ValueError, match="interpolation must be bilinear or bicubic, got 'nearest'"):
        ClassifierPreprocess(interpolation="nearest")(np.zeros((3, 9, 9), dtype=np.float32))
