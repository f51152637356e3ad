"""Box coder: hand-computed numbers, the way back, and torchvision's."""

import chainer
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn.boxes import BoxCoder, LinearBoxCoder


def _boxes(n, seed):
    rng = np.random.RandomState(seed)
    corner = rng.uniform(-50, 400, (n, 2))
    return np.concatenate((corner, corner + rng.uniform(10, 300, (n, 2))), axis=1)


def test_decode_by_hand():
    coder = BoxCoder((10, 10, 5, 5))
    reference = np.array([[10.0, 20.0, 30.0, 60.0]])  # centre (20, 40), 20 high, 40 wide
    deltas = np.array([[1.0, 2.0, 5 * np.log(2), 0.0]])  # right by a tenth of 40, down by a fifth of 20, twice as wide
    np.testing.assert_allclose(coder.decode(deltas, reference), [[[14.0, 4.0, 34.0, 84.0]]])


def test_growth_is_limited():
    bbox = BoxCoder((1, 1, 1, 1)).decode(np.array([[0.0, 0.0, 100.0, -100.0]]), np.array([[0.0, 0.0, 16.0, 16.0]]))
    assert bbox[0, 0, 3] - bbox[0, 0, 1] == pytest.approx(1000)
    assert bbox[0, 0, 2] - bbox[0, 0, 0] == pytest.approx(0)


@pytest.mark.parametrize("kind", [np.asarray, chainer.Variable])
def test_shrinking_is_limited_where_that_is_asked_for(kind):
    coder = BoxCoder((1, 1, 2, 2), min_log_scale=-1.0)
    deltas, reference = np.array([[0.0, 0.0, -1.0, -100.0]]), np.array([[0.0, 0.0, 16.0, 16.0]])
    bbox = coder.decode(kind(deltas), reference)
    sides = getattr(bbox, "array", bbox)[0, 0, 2:] - getattr(bbox, "array", bbox)[0, 0, :2]
    np.testing.assert_allclose(sides, [16 * np.exp(-1), 16 * np.exp(-0.5)])


@pytest.mark.parametrize("coder", [BoxCoder((10, 10, 5, 5)), LinearBoxCoder()])
@pytest.mark.parametrize("kind", [np.asarray, chainer.Variable])
def test_boxes_are_not_rounded_to_half_precision(coder, kind):
    """Which has whole numbers only from 1024 on, and ends at 65504."""
    reference = np.float32([[1000.25, 1086.5, 1500.75, 1399.75]])
    bbox = coder.decode(kind(coder.encode(reference, reference).astype(np.float16)), reference)
    assert bbox.dtype == np.float32
    np.testing.assert_array_equal(getattr(bbox, "array", bbox)[:, 0], reference)


def test_decode_takes_variables():
    """The same boxes; derivatives that are numerical ones, and none where growth is limited."""
    coder, reference = BoxCoder((10, 10, 5, 5)), _boxes(6, 0)
    deltas = np.random.RandomState(1).normal(0, 2, (6, 8))
    deltas[0, 2] = 50.0
    x = chainer.Variable(deltas)
    found = coder.decode(x, reference)
    np.testing.assert_allclose(found.array, coder.decode(deltas, reference), rtol=1e-14)
    weight = np.random.RandomState(2).normal(size=found.shape)
    gradient_check.check_backward(lambda x: coder.decode(x, reference), deltas, weight, dtype=np.float64, rtol=1e-5)
    chainer.functions.sum(found * weight).backward()
    assert x.grad[0, 2] == 0
    assert np.count_nonzero(x.grad == 0) == 1


def test_decode_inverts_encode():
    coder = BoxCoder((10, 10, 5, 5))
    bbox, reference = _boxes(50, 0), _boxes(50, 1)
    np.testing.assert_allclose(coder.decode(coder.encode(bbox, reference), reference)[:, 0], bbox, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-12)])
def test_coder_is_torchvisions(torchvision_live, dtype, tolerance):
    bbox, reference = _boxes(40, 2).astype(dtype), _boxes(40, 3).astype(dtype)
    deltas = np.random.RandomState(4).normal(0, 3, (40, 12)).astype(dtype)
    out = torchvision_live.run(
        """
        from torchvision.models.detection._utils import BoxCoder
        coder = BoxCoder((10., 10., 5., 5.))
        xyxy = lambda a: torch.from_numpy(a[:, [1, 0, 3, 2]])
        outputs["encoded"] = coder.encode_single(xyxy(inputs["bbox"]), xyxy(inputs["reference"]))
        outputs["decoded"] = coder.decode(torch.from_numpy(inputs["deltas"]), [xyxy(inputs["reference"])])
        """,
        bbox=bbox,
        reference=reference,
        deltas=deltas,
    )
    coder = BoxCoder((10, 10, 5, 5))
    encoded, decoded = coder.encode(bbox, reference), coder.decode(deltas, reference)
    assert encoded.dtype == decoded.dtype == dtype
    np.testing.assert_allclose(encoded, out["encoded"], rtol=tolerance, atol=10 * tolerance)
    np.testing.assert_allclose(decoded, out["decoded"][..., [1, 0, 3, 2]], rtol=tolerance, atol=1000 * tolerance)


def test_distances_in_pixels_by_hand():
    """Of (8, 8), the centre, whatever the size of the reference box."""
    coder, reference = LinearBoxCoder(normalize_by_size=False), np.array([[4.0, 4.0, 12.0, 12.0]])
    deltas = np.array([[1.0, 0.5, 2.0, 30.0]])
    bbox = coder.decode(deltas, reference)
    np.testing.assert_array_equal(bbox, [[[7.5, 7.0, 38.0, 10.0]]])
    np.testing.assert_array_equal(coder.encode(bbox[:, 0], reference), deltas)
