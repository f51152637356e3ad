"""Clipping, size and score selection, by hand."""

import numpy as np
import pytest

from chainfpn.boxes import clip, remove_small_boxes, top_k
from chainfpn.boxes.filtering import best_of_each, find_candidates, suppress, top_k_of_each
from chainfpn.functions.kernels.waiting import alone, together

#: Where the arrays are.
XPS = ("numpy", pytest.param("cupy", marks=pytest.mark.gpu))


@pytest.fixture(params=XPS)
def xp(request):
    return pytest.importorskip(request.param)


def host(a):
    return a if isinstance(a, np.ndarray) else a.get()


def test_clip_moves_corners_into_the_image():
    bbox = np.array([[-5.0, 3.0, 20.0, 90.0]], dtype=np.float32)
    clipped = clip(bbox, (10, 50))
    np.testing.assert_array_equal(clipped, [[0, 3, 10, 50]])
    assert clipped.dtype == np.float32


def test_small_boxes_are_below_the_bound():
    bbox = np.array([[0, 0, 2, 5], [0, 0, 1.9, 5], [0, 0, 5, 1.9]])
    np.testing.assert_array_equal(remove_small_boxes(bbox, 2), [0])


@pytest.mark.parametrize("k", [0, 1, 3, 5, 6, 9])
def test_top_k_takes_the_earlier_of_equals(k):
    score = np.array([0.5, 0.9, 0.5, 0.1, 0.9, 0.5])
    np.testing.assert_array_equal(top_k(score, k), [1, 4, 0, 2, 5, 3][:k])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("k", [0, 1, 3, 9])
def test_the_best_of_each_level_are_those_of_a_level_by_itself(xp, dtype, k):
    score = np.random.default_rng(0).integers(-3, 4, 19).astype(dtype) / 2
    score[[2, 11]] = -0.0, -np.inf
    lengths = (7, 0, 4, 8)
    parts = np.split(score, np.cumsum(lengths)[:-1])
    expected = [top_k(part, k) + start for part, start in zip(parts, (0, 7, 7, 11), strict=True)]
    best, level = top_k_of_each(xp.asarray(score), lengths, k)
    assert host(best).tolist() == np.concatenate(expected).tolist()
    assert host(level).tolist() == np.repeat(np.arange(4), [min(k, n) for n in lengths]).tolist()
    group = xp.asarray(np.repeat(np.arange(4), lengths))
    assert host(alone(best_of_each(group, xp.asarray(score), k))).tolist() == host(best).tolist()


@pytest.mark.gpu
def test_on_a_gpu_no_number_is_the_worst():
    cupy = pytest.importorskip("cupy")
    best, _ = top_k_of_each(cupy.asarray([np.nan, 1, np.inf, -np.nan, -np.inf], np.float32), (5,), 3)
    assert host(best).tolist() == [2, 1, 4]


@pytest.mark.parametrize(("inclusive", "expected"), [(False, [0]), (True, [0, 1])])
def test_candidates_pass_the_threshold_and_are_large_within_the_image(xp, inclusive, expected):
    bbox = xp.asarray([[0, 0, 4, 4], [2, 2, 9, 9], [0, 0, 4, 1.5], [7.5, 0, 20, 5], [0, -9, 5, 1]], np.float32)
    score = xp.asarray([0.75, 0.5, 0.9, 0.9, 0.9], np.float32)
    (found,) = alone(find_candidates(bbox, score, (9, 9), score_thresh=0.5, min_size=2, inclusive=inclusive))
    assert host(found).tolist() == expected
    options = {"score_thresh": 0.5, "min_size": 2, "inclusive": inclusive}
    rows, classes = alone(find_candidates(bbox[:4].reshape(2, 2, 4), score[:4].reshape(2, 2), (9, 9), **options))
    assert (host(rows) * 2 + host(classes)).tolist() == expected


@pytest.mark.parametrize("thresh", [0.5, 2])
def test_what_waits_together_finds_what_each_finds_alone(xp, thresh):
    """Of different lengths, one of them empty, and with different numbers of questions."""
    random = np.random.default_rng(0)

    def select(n, asks_again):
        bbox, score = xp.asarray(random.uniform(0, 30, (n, 4)).astype("f")), xp.asarray(random.random(n).astype("f"))

        def run():
            (found,) = yield from find_candidates(bbox, score, (30, 30), score_thresh=thresh, min_size=0)
            if not asks_again:
                return found
            kept = yield from suppress(bbox[found], score[found], None, 0.2)
            return found[kept]

        return run

    functions = [select(9, True), select(0, True), select(5, False), select(40, True)]
    found = together([run() for run in functions])
    assert [host(a).tolist() for a in found] == [host(alone(run())).tolist() for run in functions]
    assert [len(a) > 0 for a in found] == [thresh < 1, False, thresh < 1, thresh < 1]


@pytest.mark.gpu
def test_a_gpu_clips_as_the_cpu():
    cupy = pytest.importorskip("cupy")
    bbox = np.random.default_rng(0).uniform(-50, 99, (3, 5, 4)).astype(np.float32)
    bbox[0, 0, 1] = np.nan
    np.testing.assert_array_equal(clip(cupy.asarray(bbox), (30.5, 60)).get(), clip(bbox, (30.5, 60)))
