"""The preprocess of detectron2 and mmdetection: whole numbers first, Pillow's and OpenCV's bilinear."""

import numpy as np
import pytest
from PIL import Image

from chainfpn.links import Detectron2Preprocess, MMDetectionPreprocess, Preprocess
from chainfpn.links.detectors.framework_preprocess import resize_fixed_point

STATISTICS = {"mean": (1, 2, 3), "std": (2, 4, 8)}
BOTH = pytest.mark.parametrize("kind", [Detectron2Preprocess, MMDetectionPreprocess])


def photograph(height, width):
    return np.random.RandomState(height * width).randint(0, 256, (3, height, width)).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "resized"),
    [((33, 20), (60, 31)), ((20, 33), (7, 50)), ((40, 30), (20, 15)), ((9, 9), (9, 9)), ((1, 30), (5, 8)),
     ((51, 90), (50, 91)), ((64, 3), (9, 40))],
)  # fmt: skip
def test_every_pixel_is_as_opencv_resizes_it(size, resized):
    cv2 = pytest.importorskip("cv2")
    img = photograph(*size)
    theirs = cv2.resize(np.ascontiguousarray(img.transpose(1, 2, 0)), resized[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_fixed_point(img, resized), theirs.transpose(2, 0, 1))


def test_detectron2s_pixels_are_pillows():
    img = photograph(50, 40)
    x, sizes = Detectron2Preprocess(20, 64, channel_order="BGR", **STATISTICS)([img])
    theirs = np.asarray(Image.fromarray(img[::-1].transpose(1, 2, 0)).resize((20, 25), Image.Resampling.BILINEAR))
    expected = (theirs.astype(np.float32) - np.float32([1, 2, 3])) / np.float32([2, 4, 8])
    assert sizes == [(25, 20)]
    assert x.shape == (1, 3, 32, 32)
    np.testing.assert_array_equal(x[0, :, :25, :20], expected.transpose(2, 0, 1))
    assert not x[0, :, 25:].any()
    assert not x[0, :, :, 20:].any()


def test_mmdetections_pixels_are_opencvs():
    img = photograph(50, 40)
    x, _ = MMDetectionPreprocess(20, 64, size_divisible=1, **STATISTICS)([img], np.float64)
    expected = (resize_fixed_point(img, (25, 20)) - np.array([1, 2, 3])[:, None, None]) / np.reshape(
        [2, 4, 8], (3, 1, 1)
    )
    np.testing.assert_array_equal(x[0], expected)


@BOTH
def test_floats_are_rounded_to_whole_numbers_in_range(kind):
    img = photograph(20, 20)
    floats = img + np.float32(0.4) * (img > 0)
    preprocess = kind(20, 64, **STATISTICS)
    np.testing.assert_array_equal(preprocess([floats])[0], preprocess([img])[0])
    bright = np.full((3, 4, 4), 300, np.float32)
    np.testing.assert_array_equal(preprocess([bright])[0], preprocess([np.full((3, 4, 4), 255, np.uint8)])[0])


@BOTH
def test_sides_are_rounded_to_the_nearest_pixel(kind):
    preprocess = kind(800, 1333, **STATISTICS)
    assert preprocess.resized_size((480, 641)) == (800, 1068)  # 1068.33
    assert preprocess.resized_size((427, 640)) == (800, 1199)  # 1199.06
    assert preprocess.resized_size((333, 1000)) == (444, 1333)  # 443.9
    assert kind(fixed_size=(7, 9), **STATISTICS).resized_size((5, 5)) == (7, 9)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bgr_turns_the_channels(dtype):
    img = photograph(12, 9).astype(dtype)
    turned, plain = (Preprocess(12, 16, **STATISTICS, channel_order=order) for order in ("BGR", "RGB"))
    np.testing.assert_array_equal(turned([img])[0], plain([np.ascontiguousarray(img[::-1])])[0])
