"""The peaks of heat maps: a GPU finds the CPU's."""

import numpy as np
import pytest

from chainfpn.links.detectors.detections import RawDetections
from chainfpn.links.detectors.keypoint_head import heatmaps_to_keypoints, keypointrcnn_inference

#: Less and more pixels than there are cells, a border cell's peak, a box of no whole pixel.
BBOX = np.array([(3, 5, 60.5, 33), (0, 0, 9.5, 200.1), (7, 7, 7.2, 7.4), (1, 2, 151, 77)], np.float32)


def test_a_score_may_be_a_probability():
    """The highest of the enlarged map, over the sum of the small one."""
    heat = np.random.default_rng(3).normal(0, 3, (4, 3, 14, 14))
    found = [RawDetections(BBOX[:1], None, None), RawDetections(BBOX[1:], None, None)]
    logits, probabilities = (
        np.concatenate([image.point_score for image in keypointrcnn_inference(heat, found, probabilities=flag)])
        for flag in (False, True)
    )
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(heat).sum(axis=(2, 3)), rtol=1e-12)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 1e-4), (np.float32, 1e-4), (np.float64, 1e-10)])
def test_a_gpu_finds_the_cpus_peaks(dtype, tolerance):
    cupy = pytest.importorskip("cupy")
    heat = np.random.default_rng(0).uniform(-1, 1, (4, 3, 14, 14)).astype(dtype)
    heat[0, 0, 0, 0] = heat[1, 1, 13, 5] = 9
    expected = heatmaps_to_keypoints(heat, BBOX)
    found = heatmaps_to_keypoints(cupy.asarray(heat), cupy.asarray(BBOX))
    for array, wanted in zip(found, expected, strict=True):
        assert array.dtype == wanted.dtype == np.promote_types(dtype, np.float32)
        np.testing.assert_allclose(cupy.asnumpy(array), wanted, rtol=0, atol=tolerance)


@pytest.mark.gpu
def test_of_equal_peaks_a_gpu_takes_the_first():
    cupy = pytest.importorskip("cupy")
    heat = np.zeros((1, 1, 14, 14), np.float32)
    box = np.array([[0, 0, 300, 100]], np.float32)
    point, score = heatmaps_to_keypoints(cupy.asarray(heat), cupy.asarray(box))
    assert (cupy.asnumpy(point).tolist(), cupy.asnumpy(score).tolist()) == ([[[0.5, 0.5]]], [[0]])


@pytest.mark.gpu
def test_of_equal_peaks_in_rows_of_other_threads_a_gpu_takes_the_first():
    """Rows 19 and 67, of which the second is read by an earlier thread: every 64th is."""
    cupy = pytest.importorskip("cupy")
    heat = np.zeros((1, 1, 14, 14), np.float32)
    heat[0, 0, [2, 8], 5] = 9
    box = np.array([[0, 0, 112, 112]], np.float32)  # eight pixels a cell, so that weights repeat exactly
    expected = heatmaps_to_keypoints(heat, box)[0]
    point, _ = heatmaps_to_keypoints(cupy.asarray(heat), cupy.asarray(box))
    assert cupy.asnumpy(point).tolist() == expected.tolist() == [[[19.5, 43.5]]]


@pytest.mark.gpu
def test_no_box_has_no_peak():
    cupy = pytest.importorskip("cupy")
    point, score = heatmaps_to_keypoints(cupy.zeros((0, 3, 14, 14), np.float32), cupy.zeros((0, 4), np.float32))
    assert (point.shape, score.shape) == ((0, 3, 2), (0, 3))
