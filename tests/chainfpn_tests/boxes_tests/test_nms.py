"""Non-maximum suppression in every place it runs, against loops and live torchvision."""

import chainer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainfpn.boxes import batched_nms, nms
from chainfpn.functions.kernels import cuda_launch, cuda_ops, import_compiled, round_down
from reference import roi_ops as loops
from reference.devices import CUDA, launched_with


def heaps(n, dtype=np.float32, seed=0):
    """Boxes that overlap in heaps, with equal scores among them, and some empty or reversed ones."""
    rng = np.random.RandomState(seed)
    centres = rng.uniform(0, 60, (n // 8 + 1, 2)).repeat(8, axis=0)[:n] + rng.normal(0, 2, (n, 2))
    sides = rng.uniform(4, 20, (n, 2))
    bbox = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    bbox[::17, 2:] = bbox[::17, :2]
    bbox[5::29] = bbox[5::29][:, [2, 3, 0, 1]]
    score = np.round(rng.uniform(0, 1, n), 1)
    return bbox.astype(dtype), score.astype(np.float32), rng.randint(0, 4, n).astype(np.int32)


def host(a):
    return chainer.backends.cuda.to_cpu(a)


@pytest.mark.parametrize("n", [1, 7, 300])
@pytest.mark.parametrize("thresh", [0.0, 0.3, 0.7, 1.0])
def test_equals_the_loops(device, n, thresh):
    bbox, score, _ = heaps(n)
    keep = nms(device.asarray(bbox), thresh, device.asarray(score))
    assert isinstance(keep, device.ndarray)
    assert keep.dtype == np.int64
    np.testing.assert_array_equal(host(keep), loops.nms(bbox, thresh, score))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_each_label_by_itself(device, dtype):
    bbox, score, label = heaps(200, dtype)
    keep = batched_nms(*map(device.asarray, (bbox, score, label)), 0.4)
    exact = bbox.astype(np.promote_types(dtype, np.float32))
    np.testing.assert_array_equal(host(keep), loops.nms(exact, 0.4, score, label))


def test_many_tiles_on_the_device(device):
    # more than one tile of the CUDA kernel, more than one chunk of the compiled one; checked against the other engines
    bbox, score, label = heaps(1500, seed=3)
    keep = host(batched_nms(*map(device.asarray, (bbox, score, label)), 0.5))
    for k in range(4):
        (members,) = np.nonzero(label == k)
        alone = host(nms(*map(device.asarray, (bbox[members],)), 0.5, device.asarray(score[members])))
        np.testing.assert_array_equal(keep[label[keep] == k], members[alone])
    assert (np.diff(score[keep]) <= 0).all()


numba_nms, grid = import_compiled("numba_nms"), import_compiled("numba_nms_grid")

#: Lengths and places whose boxes touch, nest, coincide, are empty, tiny, huge or no boxes at all.
COORDINATES = st.one_of(
    st.integers(-12, 12).map(float),
    st.floats(-20, 20, width=32),
    st.sampled_from([0.0, -0.0, 1e-20, 1e-12, 1e6, 1e19, 3e38, np.inf, -np.inf, np.nan]),
)


def assert_equals_the_plain_loop(bbox, label, thresh, limit=None):
    limit = len(bbox) if limit is None else limit
    thresh = bbox.dtype.type(thresh)
    with np.errstate(all="ignore"):
        expected = numba_nms.nms(bbox, label, thresh, limit)
    np.testing.assert_array_equal(grid.nms(bbox, label, thresh, limit), expected)


@pytest.fixture
def always_a_grid(monkeypatch):
    monkeypatch.setattr(grid, "MANY", 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_grid_equals_the_plain_loop(dtype):
    @settings(max_examples=100, deadline=None)
    @given(
        bbox=hnp.arrays(dtype, st.tuples(st.integers(1, 40), st.just(4)), elements=COORDINATES),
        thresh=st.one_of(st.floats(0, 1), st.sampled_from([-1.0, -1e-45, 0.0, 0.5, 0.7, 1.0, 2.0])),
        n_label=st.integers(1, 3),
        limit=st.integers(0, 45),
    )
    def check(bbox, thresh, n_label, limit):
        bbox[::3, 2:] = bbox[::3, :2] + abs(bbox[::3, 2:])  # more of those that are boxes
        assert_equals_the_plain_loop(bbox, np.arange(len(bbox)) * n_label // len(bbox), thresh, limit)

    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(grid, "MANY", 1)
        check()


@pytest.mark.usefixtures("always_a_grid")
@pytest.mark.parametrize("thresh", [0.0, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0])
@pytest.mark.parametrize(
    "kind", ["heaps", "alike", "huge first", "huge last", "nan", "sides", "thin", "tiles", "centre"]
)
def test_a_grid_of_many_boxes_equals_the_plain_loop(kind, thresh):
    n, rng = 3000, np.random.RandomState(0)
    centres, sides = rng.uniform(0, 900, (n, 2)), np.exp(rng.uniform(np.log(16), np.log(256), (n, 2)))
    if kind in ("alike", "centre"):
        centres[:] = 40
    if kind in ("alike", "tiles"):
        sides[:] = 16
    if kind == "tiles":
        centres = np.stack(np.divmod(np.arange(n), 50), 1) * 16.0
    if kind == "sides":
        sides = np.exp(rng.uniform(np.log(1e-3), np.log(1e5), (n, 2)))
    if kind == "thin":
        sides[:, 1] = 2
    if kind.startswith("huge"):
        centres[-1 if kind.endswith("last") else 0], sides[-1 if kind.endswith("last") else 0] = 0, 1e6
    bbox = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    if kind == "heaps":
        bbox = heaps(n)[0]
    if kind == "nan":
        bbox[::3, rng.randint(0, 4, n // 3)] = np.nan
    assert_equals_the_plain_loop(bbox, np.zeros(n, np.int64), thresh)


def test_many_boxes_of_two_labels(monkeypatch):
    monkeypatch.setattr(grid, "MANY", 500)
    bbox, score, label = heaps(1500)
    label = np.where(label > 0, 7, 2).astype(np.int32)
    kept = batched_nms(bbox, score, label, 0.4)
    monkeypatch.setattr(grid, "MANY", 10**9)
    np.testing.assert_array_equal(kept, batched_nms(bbox, score, label, 0.4))


@pytest.mark.parametrize("device", CUDA, indirect=True)
def test_64_bit_indices_and_fewer_blocks_than_tasks(device, monkeypatch):
    kernels = launched_with(monkeypatch, INT_LIMIT=0, MAX_BLOCKS=3)
    bbox, score, label = heaps(600)
    keep = batched_nms(*map(device.asarray, (bbox, score, label)), 0.4)
    np.testing.assert_array_equal(host(keep), loops.nms(bbox, 0.4, score, label))
    assert kernels == ["nms_masks<float, long long>", "nms_scan<float, long long>"]


@pytest.mark.parametrize("device", CUDA, indirect=True)
@pytest.mark.parametrize("limit", [None, 300])
def test_masks_that_do_not_fit_into_memory_at_once(device, monkeypatch, limit):
    bbox, score, _ = map(device.asarray, heaps(1500, seed=3))
    expected = host(nms(bbox, 0.5, score, limit))
    monkeypatch.setattr(cuda_ops, "MASK_BYTES", 1)
    np.testing.assert_array_equal(host(nms(bbox, 0.5, score, limit)), expected)


@pytest.mark.parametrize("device", CUDA, indirect=True)
@pytest.mark.parametrize("n_words", [40, cuda_launch.constant("MOST_WORDS") + 2])
def test_the_scan_marks_what_later_rows_will_drop(device, n_words):
    n_rows, n = 256, n_words * 64 - 28
    rng = np.random.RandomState(0)
    overlap = rng.uniform(0, 1, (n_rows, n_words * 64)) < 0.02
    overlap[:, :n_rows] &= ~np.tri(n_rows, dtype=bool)
    overlap[:, n:] = False
    masks = device.asarray(np.packbits(overlap, axis=1, bitorder="little").view(np.uint64))
    dropped, keep = device.zeros(n_words + 1, np.uint64), device.full(n, -1, np.int64)
    rows = (cuda_launch.NO_ARRAY, cuda_launch.index(n), cuda_launch.index(0), cuda_launch.index(n_rows), np.int64(90))
    like = device.zeros(0, np.float32)
    cuda_launch.launch("nms_scan", like, 1, masks, *rows, dropped, keep, threads=cuda_ops.SCAN_THREADS)
    gone, kept = np.zeros(n_words * 64, bool), []
    for row in range(n_rows):
        if not gone[row] and len(kept) < 90:
            kept.append(row)
            gone |= overlap[row]
    np.testing.assert_array_equal(host(keep)[: len(kept) + 1], [*kept, -1])
    assert host(dropped)[n_words] == len(kept)
    found = np.unpackbits(host(dropped)[:n_words].view(np.uint8), bitorder="little").astype(bool)
    np.testing.assert_array_equal(found[n_rows:], gone[n_rows:])


THRESHOLDS = (0.3, 0.5, 0.7)


@pytest.fixture(scope="module")
def expected(torchvision_live):
    bbox, score, label = heaps(1500, seed=1)
    code = f"""
        bbox, score, label = (torch.tensor(inputs[name]) for name in ("bbox", "score", "label"))
        for thresh in {THRESHOLDS}:
            outputs[f"one_{{thresh}}"] = torchvision.ops.nms(bbox, score, thresh)
            outputs[f"label_{{thresh}}"] = torchvision.ops.batched_nms(bbox, score, label, thresh)
    """
    return torchvision_live.run(code, bbox=bbox[:, [1, 0, 3, 2]], score=score, label=label.astype(np.int64))


def test_equals_torchvision(device, expected):
    bbox, score, label = map(device.asarray, heaps(1500, seed=1))
    for thresh in THRESHOLDS:
        np.testing.assert_array_equal(host(nms(bbox, thresh, score)), expected[f"one_{thresh}"])
        # torchvision's last sort is not stable: boxes of equal score come in any order
        np.testing.assert_array_equal(
            np.sort(host(batched_nms(bbox, score, label, thresh))), np.sort(expected[f"label_{thresh}"])
        )


def test_exactly_at_the_threshold_both_are_kept(device):
    bbox = device.asarray([[0, 0, 4, 4], [0, 2, 4, 6]], np.float32)  # IoU 8 / 24
    score = device.asarray([0.5, 0.9], np.float32)
    third = float(np.float32(8) / np.float32(24))
    assert host(nms(bbox, third, score)).tolist() == [1, 0]
    assert host(nms(bbox, np.nextafter(third, 0), score)).tolist() == [1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_exactly_at_the_threshold_one_goes_if_asked(device, dtype):
    bbox = device.asarray(np.array([[0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 1.9]], dtype))  # IoU 1/2, and a little less
    score, label = device.asarray(np.array([3, 2, 1], dtype)), device.asarray(np.array([0, 0, 0]))
    assert host(batched_nms(bbox[:2], score[:2], label[:2], 0.5)).tolist() == [0, 1]
    assert host(batched_nms(bbox[:2], score[:2], label[:2], 0.5, inclusive=True)).tolist() == [0]
    assert host(batched_nms(bbox[::2], score[::2], label[::2], 0.5, inclusive=True)).tolist() == [0, 1]


def test_equal_scores_keep_their_order(device):
    bbox = device.asarray([[0, 0, 2, 2], [9, 9, 11, 11], [0, 0, 2, 2], [5, 5, 7, 7]], np.float32)
    assert host(nms(bbox, 0.5, device.ones(4, np.float32))).tolist() == [0, 1, 3]


def test_without_scores_the_boxes_come_as_sorted(device):
    bbox, _, _ = heaps(40)
    expected = loops.nms(bbox, 0.3, np.zeros(len(bbox)))
    np.testing.assert_array_equal(host(nms(device.asarray(bbox), 0.3)), expected)


@pytest.mark.parametrize("limit", [0, 1, 5, 10**6])
def test_limit(device, limit):
    bbox, score, _ = map(device.asarray, heaps(100))
    expected = host(nms(bbox, 0.5, score))[:limit]
    np.testing.assert_array_equal(host(nms(bbox, 0.5, score, limit=limit)), expected)


def test_no_boxes(device):
    bbox, score, label = device.zeros((0, 4), np.float32), device.zeros(0, np.float32), device.zeros(0, np.int32)
    for keep in (nms(bbox, 0.5, score), batched_nms(bbox, score, label, 0.5)):
        assert keep.shape == (0,)
        assert keep.dtype == np.int64


def test_a_threshold_is_rounded_down():
    single = np.dtype(np.float32)
    below = round_down(0.7, single)
    assert float(below) < 0.7 < float(np.nextafter(below, np.float32(1)))
    assert round_down(0.5, single) == 0.5
    assert round_down(0.3, np.dtype(np.float64)) == 0.3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bbox": np.zeros((3, 5), np.float32)}, ValueError, r"batched_nms: bbox must be \(R, 4\), got shape \(3, 5\)"),
        (
            {"bbox": np.ones((3, 4), int)},
            TypeError,
            r"batched_nms: bbox must be float16, float32 or float64, got int64",
        ),
        ({"score": np.zeros(2)}, ValueError, r"batched_nms: score must be \(3,\) as there are boxes, got shape \(2,\)"),
        ({"score": [0, 1, 2]}, TypeError, r"batched_nms: score must be a numpy array as bbox is, got list"),
        ({"thresh": float("nan")}, ValueError, r"batched_nms: thresh must be a number, got nan"),
        ({"label": np.zeros(3)}, TypeError, r"batched_nms: label must be integers, got float64"),
    ],
)
def test_a_bad_argument_is_named(change, error, message):
    arguments = {"bbox": np.zeros((3, 4), np.float32), "score": np.zeros(3), "label": np.zeros(3, int), "thresh": 0.5}
    with pytest.raises(error, match=f"^{message}$"):
        batched_nms(**{**arguments, **change})


@pytest.mark.parametrize("limit", [-1, 2.5])
def test_a_bad_limit_is_named(limit):
    message = rf"^nms: limit must be None or an int >= 0, got {limit}$"
    with pytest.raises(ValueError, match=message):
        nms(np.zeros((3, 4), np.float32), 0.5, limit=limit)
