"""Every RoI op in every dtype, layout and place, against loops and against live torchvision."""

import functools

import chainer
import numpy as np
import pytest
from chainer import gradient_check
from chainer.backends.cuda import to_cpu

from chainfpn import functions
from chainfpn.functions import _arguments
from chainfpn.functions.kernels import cuda_ops
from reference import roi_ops as loops
from reference.devices import CUDA, launched_with

SCALE = 0.5
OUTSIZE = (3, 4)
TOLERANCE = {np.float16: 4e-3, np.float32: 1e-5, np.float64: 1e-12}
MAP = (11, 14)  # feature pixels; the images are twice as large

ROIS = {
    "inside": (2.0, 3.0, 9.0, 11.0),
    "on the half": (1.0, 5.0, 9.0, 13.0),  # rounding: .5, 2.5, 4.5, 6.5 feature pixels
    "below the half": (0.99, 4.99, 8.99, 12.99),
    "whole map": (0.0, 0.0, 22.0, 28.0),
    "on the border": (0.0, 0.0, 20.0, 26.0),
    "bins of one pixel": (2.0, 4.0, 8.0, 12.0),
    "beyond the map": (-8.0, -20.0, 60.0, 90.0),
    "just outside": (-2.0, -2.0, 24.0, 30.0),
    "outside": (40.0, 50.0, 60.0, 70.0),
    "negative halves": (-5.0, -3.0, 5.0, 7.0),
    "thin": (3.0, 4.0, 3.2, 20.0),
}
ODD_ROIS = {
    "empty": (5.0, 5.0, 5.0, 5.0),
    "reversed": (12.0, 16.0, 3.0, 2.0),
    "reversed rows": (12.0, 2.0, 3.0, 16.0),
    "NaN": (np.nan, 0.0, 8.0, 8.0),
    "NaN at the end": (0.0, 0.0, 8.0, np.nan),
}
FAR_ROIS = {  # with adaptive sampling, too many samples for loops
    "infinite": (-np.inf, 0.0, np.inf, 9.0),
    "huge": (-1e30, 2.0, 3e38, 12.0),
    "far": (1e9, 1e9, 2e9, 2e9),
}


ODD = {"odd": ODD_ROIS, "far": FAR_ROIS}


def random_rois(n, rng):
    corners = rng.uniform(-6, 36, (n, 2, 2))
    return np.sort(corners, axis=1).reshape(n, 4)


@functools.cache
def arguments(channels, dtype, *odd):
    """Make a map, RoIs and their images."""
    rng = np.random.RandomState(0)
    rois = [*ROIS.values(), *random_rois(12, rng), *(roi for more in odd for roi in ODD[more].values())]
    x = rng.uniform(-1, 1, (2, channels, *MAP)).astype(dtype)
    x[0, 0, :4, :4] = 0.25  # ties
    rois = np.array(rois).astype(np.float32)
    roi_indices = (np.arange(len(rois)) % 2).astype(np.int32)
    return x, rois, roi_indices


def relayout(a, layout):
    """Return an equal array that is not contiguous."""
    if layout == "contiguous":
        return a
    wide = a.repeat(2, axis=3)
    return wide[..., ::2].transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)


def forward_backward(op, xp, x, rois, roi_indices, gy, layout="contiguous", **options):
    x = chainer.Variable(relayout(xp.asarray(x), layout))
    y = op(x, xp.asarray(rois), xp.asarray(roi_indices), OUTSIZE, SCALE, **options)
    y.grad = relayout(xp.asarray(gy), layout)
    y.backward()
    return chainer.backends.cuda.to_cpu(y.array), chainer.backends.cuda.to_cpu(x.grad)


class RoIOpTester:
    """What every RoI op must do; a subclass names the op."""

    name = None
    channels = 3
    options = ({},)

    def out_channels(self):
        return self.channels

    def op(self, *args, **options):
        return getattr(functions, self.name)(*args, **options)

    def gradient(self, n_rois, dtype):
        rng = np.random.RandomState(1)
        return rng.uniform(-1, 1, (n_rois, self.out_channels(), *OUTSIZE)).astype(dtype)

    def arguments(self, dtype, options):
        adaptive = options.get("sampling_ratio", 1) <= 0
        x, rois, roi_indices = arguments(self.channels, dtype, "odd", *([] if adaptive else ["far"]))
        return x, rois, roi_indices, self.gradient(len(rois), dtype)

    @functools.cache  # noqa: B019  (few classes, and as long-lived as the module)
    def expected(self, dtype, k):
        x, rois, roi_indices, gy = self.arguments(dtype, self.options[k])
        return getattr(loops, self.name)(x, gy, rois, roi_indices, OUTSIZE, SCALE, **self.options[k])

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return type(self) is type(other)

    @pytest.mark.parametrize("layout", ["contiguous", "strided"])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_equals_the_loops(self, device, dtype, layout):
        for k, options in enumerate(self.options):
            x, rois, roi_indices, gy = self.arguments(dtype, options)
            y, gx = forward_backward(self.op, device, x, rois, roi_indices, gy, layout, **options)
            y_loops, gx_loops = self.expected(dtype, k)
            assert y.dtype == gx.dtype == dtype
            np.testing.assert_allclose(y, y_loops, rtol=0, atol=TOLERANCE[dtype], err_msg=str(options))
            np.testing.assert_allclose(gx, gx_loops, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])

    def test_without_gradients_it_is_the_same(self, device):
        x, rois, roi_indices, _ = self.arguments(np.float32, self.options[0])
        arrays = [device.asarray(a) for a in (x, rois, roi_indices)]
        with_gradients = self.op(*arrays, OUTSIZE, SCALE, **self.options[0])
        with chainer.no_backprop_mode():
            y = self.op(*arrays, OUTSIZE, SCALE, **self.options[0])
        np.testing.assert_array_equal(*(chainer.backends.cuda.to_cpu(a.array) for a in (y, with_gradients)))

    @pytest.mark.parametrize("dtype", [np.float16, np.float64])
    def test_rois_of_the_maps_dtype(self, device, dtype):
        x, rois, roi_indices = arguments(self.channels, dtype)
        gy = self.gradient(len(rois), dtype)
        with np.errstate(over="ignore"):
            own = rois.astype(dtype)
        for options in self.options:
            y, gx = forward_backward(self.op, device, x, own, roi_indices, gy, **options)
            y32, gx32 = forward_backward(self.op, device, x, own.astype(np.float32), roi_indices, gy, **options)
            np.testing.assert_array_equal(y, y32)
            np.testing.assert_allclose(gx, gx32, rtol=0, atol=TOLERANCE[dtype])

    def test_the_gradient_without_atomics_is_the_same(self, device):
        with chainer.using_config("cudnn_deterministic", True):
            for k, options in enumerate(self.options):
                x, rois, roi_indices, gy = self.arguments(np.float64, options)
                _, gx = forward_backward(self.op, device, x, rois, roi_indices, gy, **options)
                np.testing.assert_allclose(gx, self.expected(np.float64, k)[1], rtol=0, atol=1e-12)
                _, again = forward_backward(self.op, device, x, rois, roi_indices, gy, **options)
                np.testing.assert_array_equal(gx, again)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32])
    def test_the_gradient_without_atomics_in_other_dtypes(self, device, dtype):
        x, rois, roi_indices, gy = self.arguments(dtype, self.options[0])
        with chainer.using_config("cudnn_deterministic", True):
            _, gx = forward_backward(self.op, device, x, rois, roi_indices, gy, **self.options[0])
        expected = self.expected(dtype, 0)[1]
        np.testing.assert_allclose(gx, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])

    @pytest.mark.parametrize("device", CUDA, indirect=True)
    def test_64_bit_indices_and_fewer_blocks_than_tasks(self, device, monkeypatch):
        kernels = launched_with(monkeypatch, INT_LIMIT=0, MAX_BLOCKS=3)
        x, rois, roi_indices, gy = self.arguments(np.float32, self.options[0])
        for deterministic in (False, True):
            with chainer.using_config("cudnn_deterministic", deterministic):
                y, gx = forward_backward(self.op, device, x, rois, roi_indices, gy, **self.options[0])
            np.testing.assert_allclose(y, self.expected(np.float32, 0)[0], rtol=0, atol=1e-5)
            np.testing.assert_allclose(gx, self.expected(np.float32, 0)[1], rtol=1e-5, atol=1e-5)
        assert all("long long" in kernel for kernel in kernels)
        assert len(kernels) >= 4

    def test_far_rois_are_clipped(self, device):
        x, rois, roi_indices = arguments(self.channels, np.float64, "far")
        rois, roi_indices = rois[-len(FAR_ROIS) :], roi_indices[-len(FAR_ROIS) :]
        gy = self.gradient(len(rois), np.float64)
        beyond = (2**20 + 4) / SCALE
        near = np.clip(rois, -beyond, beyond)
        for options in self.options:
            expected = forward_backward(self.op, device, x, near, roi_indices, gy, **options)
            for a, b in zip(
                forward_backward(self.op, device, x, rois, roi_indices, gy, **options), expected, strict=True
            ):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
                assert np.isfinite(a).all()

    @pytest.mark.parametrize("n_images", [2, 0])
    def test_no_rois(self, device, n_images):
        x = device.ones((n_images, self.channels, *MAP), np.float32)
        variable = chainer.Variable(x)
        y = self.op(variable, device.zeros((0, 4), np.float32), device.zeros(0, np.int32), OUTSIZE, SCALE)
        assert y.shape == (0, self.out_channels(), *OUTSIZE)
        y.grad = y.array
        y.backward()
        assert variable.grad.shape == x.shape
        assert not variable.grad.any()

    def test_an_image_without_rois(self, device):
        x, rois, _ = arguments(self.channels, np.float32)
        gy = self.gradient(len(rois), np.float32)
        _, gx = forward_backward(self.op, device, x, rois, np.ones(len(rois), np.int32), gy)
        assert not gx[0].any()
        assert gx[1].any()

    @pytest.mark.parametrize("device", CUDA, indirect=True)
    def test_a_roi_of_no_image_reads_nothing(self, device, monkeypatch):
        monkeypatch.setattr(_arguments, "reads_indices", lambda xp: False)
        x, rois, roi_indices = arguments(self.channels, np.float32)
        gy = self.gradient(len(rois), np.float32)
        wrong = roi_indices.copy()
        wrong[::3] = [-1, 2, 2**31 - 1, -(2**31)] * 2
        for deterministic in (False, True):
            with chainer.using_config("cudnn_deterministic", deterministic):
                y, gx = forward_backward(self.op, device, x, rois, wrong, gy, **self.options[0])
                rows = np.arange(len(rois)) % 3 > 0
                right, right_gx = forward_backward(
                    self.op, device, x, rois[rows], roi_indices[rows], gy[rows], **self.options[0]
                )
            assert np.isnan(y[~rows]).all()
            np.testing.assert_array_equal(y[rows], right)
            np.testing.assert_allclose(gx, right_gx, rtol=0, atol=1e-5)

    def test_numerical_gradients(self, device):
        rng = np.random.RandomState(2)
        x = rng.permutation(2 * self.channels * 5 * 6).reshape(2, self.channels, 5, 6).astype(np.float64)
        rois = np.array([(0, 1, 7, 9), (3, 2, 8, 7), (-3, 4, 20, 30)], np.float64)
        roi_indices = np.array([0, 1, 1], np.int32)
        gy, ggx = rng.uniform(-1, 1, (3, self.out_channels(), *OUTSIZE)), rng.uniform(-1, 1, x.shape)
        x, rois, roi_indices, gy, ggx = map(device.asarray, (x / x.size, rois, roi_indices, gy, ggx))

        def f(x):
            return self.op(x, rois, roi_indices, OUTSIZE, SCALE, **self.options[0])

        check = {"dtype": np.float64, "eps": 1e-4, "atol": 1e-8, "rtol": 1e-7}
        gradient_check.check_backward(f, x, gy, **check)
        gradient_check.check_double_backward(f, x, gy, ggx, **check)

    def torchvision_cases(self):
        """(option of ours, keyword arguments of theirs) pairs that torchvision defines."""
        return [(options, dict(options)) for options in self.options]

    def torchvision_rois(self, rois):
        """The rows where torchvision's gradient is the forward's."""
        return np.ones(len(rois), bool)

    def test_equals_torchvision(self, device, torchvision_live):
        expected = live(torchvision_live, self)
        for dtype in (np.float32, np.float64):
            x, rois, roi_indices = arguments(self.channels, dtype)
            rows = self.torchvision_rois(rois)
            rois, roi_indices = rois[rows], roi_indices[rows]
            gy = self.gradient(len(rois), dtype)
            for k, (options, _) in enumerate(self.torchvision_cases()):
                y, gx = forward_backward(self.op, device, x, rois.astype(dtype), roi_indices, gy, **options)
                key = f"{np.dtype(dtype).name}_{k}"
                tolerance = TOLERANCE[dtype]
                np.testing.assert_allclose(y, expected[f"y_{key}"], rtol=0, atol=tolerance, err_msg=str(options))
                np.testing.assert_allclose(gx, expected[f"gx_{key}"], rtol=0, atol=tolerance, err_msg=str(options))


@functools.cache
def live(torchvision_live, tester):
    """Run torchvision once for all dtypes and options of an op."""
    cases = [theirs for _, theirs in tester.torchvision_cases()]
    arrays = {}
    for dtype in (np.float32, np.float64):
        x, rois, roi_indices = arguments(tester.channels, dtype)
        rows = tester.torchvision_rois(rois)
        rois, roi_indices = rois[rows], roi_indices[rows]
        boxes = np.concatenate([roi_indices[:, None], rois[:, [1, 0, 3, 2]]], axis=1).astype(dtype)
        name = np.dtype(dtype).name
        arrays |= {f"x_{name}": x, f"boxes_{name}": boxes, f"gy_{name}": tester.gradient(len(rois), dtype)}
    code = f"""
        for name in ("float32", "float64"):
            for k, options in enumerate({cases!r}):
                x = torch.tensor(inputs["x_" + name], requires_grad=True)
                boxes = torch.tensor(inputs["boxes_" + name])
                op = getattr(torchvision.ops, {tester.name!r})
                y = op(x, boxes, {OUTSIZE!r}, spatial_scale={SCALE!r}, **options)
                y.backward(torch.tensor(inputs["gy_" + name]))
                outputs[f"y_{{name}}_{{k}}"] = y
                outputs[f"gx_{{name}}_{{k}}"] = x.grad
    """
    return torchvision_live.run(code, **arrays)


class TestRoIAlign(RoIOpTester):
    name = "roi_align"
    options = (
        {"sampling_ratio": 2},
        {"sampling_ratio": 0},
        {"sampling_ratio": 2, "aligned": True},
        {"sampling_ratio": -1, "aligned": True},
        {"sampling_ratio": 9},
    )


class TestRoIAlignOfManyChannels(RoIOpTester):
    """More than one block of lanes, and a block that is not full."""

    name = "roi_align"
    channels = 37
    options = ({"sampling_ratio": 2},)


#: More bins than a block takes, more than it lists taps of, and bins that have more taps than there is room for.
MANY_BINS = [
    ("roi_align", (17, 9), 2), ("roi_align", (2, 130), 2), ("roi_align", (64, 1), 0), ("roi_align", (64, 1), 3),
    ("ps_roi_align", (64, 1), 0), ("roi_pool", (17, 9), None), ("roi_pool", (2, 130), None),
]  # fmt: skip


@pytest.mark.parametrize("device", CUDA, indirect=True)
@pytest.mark.parametrize(("name", "outsize", "sampling_ratio"), MANY_BINS)
def test_more_bins_than_a_block_takes(device, name, outsize, sampling_ratio):
    channels, maps = (64, 1) if name.startswith("ps") else (3, 3)
    x, rois, roi_indices = arguments(channels, np.float32)
    rois = np.concatenate([rois[:5], [ODD_ROIS["NaN"], (-100, 2, 540, 9)]]).astype(np.float32)
    roi_indices = roi_indices[: len(rois)]
    gy = np.random.RandomState(1).uniform(-1, 1, (len(rois), maps, *outsize)).astype(np.float32)
    options = {} if sampling_ratio is None else {"sampling_ratio": sampling_ratio}
    expected = getattr(loops, name)(x, gy, rois, roi_indices, outsize, SCALE, **options)
    for deterministic in (False, True):
        variable = chainer.Variable(device.asarray(x))
        with chainer.using_config("cudnn_deterministic", deterministic):
            y = getattr(functions, name)(
                variable, device.asarray(rois), device.asarray(roi_indices), outsize, SCALE, **options
            )
            y.grad = device.asarray(gy)
            y.backward()
        for found, a in zip((y.array, variable.grad), expected, strict=True):
            np.testing.assert_allclose(chainer.backends.cuda.to_cpu(found), a, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", CUDA, indirect=True)
@pytest.mark.parametrize("n_channels", [3, 6])
def test_places_of_maxima_are_written_for_a_gradient_alone(device, n_channels, monkeypatch):
    x, rois, roi_indices = map(device.asarray, arguments(n_channels, np.float32))
    places, pool_forward = [], cuda_ops.pool_forward

    def watch(x, p):
        y, argmax = pool_forward(x, p)
        places.append(argmax)
        return y, argmax

    monkeypatch.setattr(cuda_ops, "pool_forward", watch)
    run = functools.partial(functions.roi_pool, rois=rois, roi_indices=roi_indices, outsize=(3, 2), spatial_scale=SCALE)
    ys = [run(chainer.Variable(x)), run(x)]
    with chainer.no_backprop_mode():
        ys.append(run(chainer.Variable(x)))
    assert [argmax is None for argmax in places] == [False, True, True]
    assert [y.requires_grad for y in ys[:2]] == [True, False]
    for y in ys[1:]:
        np.testing.assert_array_equal(to_cpu(y.array), to_cpu(ys[0].array))


class TestRoIPool(RoIOpTester):
    name = "roi_pool"


class TestRoIPoolOfManyChannels(RoIOpTester):
    name = "roi_pool"
    channels = 37


class TestPSRoIAlign(RoIOpTester):
    name = "ps_roi_align"
    channels = 2 * OUTSIZE[0] * OUTSIZE[1]
    options = ({"sampling_ratio": 2}, {"sampling_ratio": 0})

    def out_channels(self):
        return 2


class TestPSRoIPool(RoIOpTester):
    name = "ps_roi_pool"
    channels = 2 * OUTSIZE[0] * OUTSIZE[1]

    def out_channels(self):
        return 2

    def torchvision_rois(self, rois):
        # torchvision's backward clips a bin to the map, its forward to the last row and column: on bins that reach
        # these its gradient is not the forward's
        return (rois[:, 2] < 2 * MAP[0] - 3) & (rois[:, 3] < 2 * MAP[1] - 3)
