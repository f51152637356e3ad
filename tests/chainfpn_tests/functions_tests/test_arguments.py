"""Each bad argument of an op is named in one sentence."""

import types

import chainer
import numpy as np
import pytest

from chainfpn import functions
from chainfpn.functions import _arguments

ROI_OPS = ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")


def call(name, **change):
    arguments = {
        "x": np.zeros((2, 4, 5, 6), np.float32),
        "rois": np.zeros((3, 4), np.float32),
        "roi_indices": np.zeros(3, np.int32),
        "outsize": 2,
        "spatial_scale": 0.5,
    }
    return getattr(functions, name)(**{**arguments, **change})


@pytest.mark.parametrize("name", ROI_OPS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"spatial_scale": -0.5}, ValueError, r"spatial_scale must be > 0, got -0\.5"),
        ({"spatial_scale": 0}, ValueError, r"spatial_scale must be > 0, got 0"),
        ({"spatial_scale": float("nan")}, ValueError, r"spatial_scale must be > 0, got nan"),
        ({"spatial_scale": "1"}, ValueError, r"spatial_scale must be > 0, got '1'"),
        ({"outsize": 0}, ValueError, r"outsize must be a positive int or a pair of them, got 0"),
        ({"outsize": (2, 2, 2)}, ValueError, r"outsize must be a positive int or a pair of them, got \(2, 2, 2\)"),
        ({"outsize": 2.5}, ValueError, r"outsize must be a positive int or a pair of them, got 2\.5"),
        (
            {"x": np.zeros((4, 5, 6), np.float32)},
            ValueError,
            r"x must be \(B, C, H, W\) with at least one pixel, got shape \(4, 5, 6\)",
        ),
        (
            {"x": np.zeros((2, 4, 0, 6), np.float32)},
            ValueError,
            r"x must be \(B, C, H, W\) with at least one pixel, got shape \(2, 4, 0, 6\)",
        ),
        ({"x": np.zeros((2, 4, 5, 6), int)}, TypeError, r"x must be float16, float32 or float64, got int64"),
        ({"x": [1]}, TypeError, r"x must be a Variable or an array, got list"),
        ({"rois": np.zeros((3, 5), np.float32)}, ValueError, r"rois must be \(R, 4\), got shape \(3, 5\)"),
        ({"rois": np.zeros((3, 4))}, TypeError, r"rois must be float32, got float64"),
        (
            {"x": np.zeros((2, 4, 5, 6)), "rois": np.zeros((3, 4), np.float16)},
            TypeError,
            r"rois must be float32 or x's float64, got float16",
        ),
        ({"rois": [[0, 0, 1, 1]]}, TypeError, r"rois must be a numpy array as x is, got builtins\.list"),
        (
            {"roi_indices": np.zeros(2, np.int32)},
            ValueError,
            r"roi_indices must be \(3,\) as there are rois, got shape \(2,\)",
        ),
        ({"roi_indices": np.zeros(3)}, TypeError, r"roi_indices must be integers, got float64"),
        ({"roi_indices": np.array([0, 2, 1])}, ValueError, r"roi_indices must be in \[0, 2\), got 2"),
        ({"roi_indices": np.array([0, -1, 1])}, ValueError, r"roi_indices must be in \[0, 2\), got -1"),
    ],
)
def test_a_bad_argument_is_named(name, change, error, message):
    with pytest.raises(error, match=f"^{name}: {message}$"):
        call(name, **change)


@pytest.mark.parametrize("name", ROI_OPS)
def test_rois_of_another_device_are_named(name, monkeypatch):
    cupy = types.SimpleNamespace(__name__="cupy", ndarray=list)
    monkeypatch.setattr(_arguments.backend, "get_array_module", lambda *args: cupy)
    with pytest.raises(TypeError, match=rf"^{name}: rois must be a cupy array as x is, got numpy\.ndarray$"):
        call(name)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ROI_OPS)
def test_cpu_rois_with_a_gpu_map(name):
    cupy = chainer.backends.cuda.cupy
    with pytest.raises(TypeError, match=rf"^{name}: rois must be a cupy array as x is, got numpy\.ndarray$"):
        call(name, x=cupy.zeros((2, 4, 5, 6), np.float32))


@pytest.mark.parametrize("name", ["roi_align", "ps_roi_align"])
def test_a_fractional_sampling_ratio_is_named(name):
    with pytest.raises(TypeError, match=rf"^{name}: sampling_ratio must be an int, got 1\.5$"):
        call(name, sampling_ratio=1.5)


@pytest.mark.parametrize("name", ["ps_roi_align", "ps_roi_pool"])
def test_channels_that_do_not_divide_are_named(name):
    message = rf"^{name}: x must have a multiple of outh \* outw = 6 channels, got 4$"
    with pytest.raises(ValueError, match=message):
        call(name, outsize=(2, 3))


@pytest.mark.parametrize("name", ["adaptive_max_pool_2d", "adaptive_avg_pool_2d"])
def test_adaptive_pooling_names_a_bad_size(name):
    with pytest.raises(ValueError, match=rf"^{name}: outsize must be a positive int or a pair of them, got -1$"):
        getattr(functions, name)(np.zeros((1, 1, 2, 2), np.float32), -1)


@pytest.mark.parametrize("name", ["resize_nearest", "resize_bilinear"])
def test_resizing_names_a_bad_size(name):
    with pytest.raises(ValueError, match=rf"^{name}: size must be a positive int or a pair of them, got \(0, 3\)$"):
        getattr(functions, name)(np.zeros((1, 1, 2, 2), np.float32), (0, 3))


@pytest.mark.parametrize("name", ROI_OPS)
def test_integers_of_any_kind_and_variables_are_taken(name):
    rois = chainer.Variable(np.array([[0, 0, 8, 8]] * 3, np.float32))
    y = call(name, rois=rois, roi_indices=np.array([0, 1, 1], np.uint8), outsize=np.int64(2))
    assert y.shape[0] == 3
    assert y.shape[2:] == (2, 2)
