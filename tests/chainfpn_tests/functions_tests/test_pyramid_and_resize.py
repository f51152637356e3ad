"""Pooling over a pyramid, adaptive pooling and resizing, against torch and by hand."""

import tracemalloc

import chainer
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn import functions
from chainfpn.functions.kernels.geometry import LevelRule, Pyramid, assign_levels
from reference import roi_ops as loops
from reference.devices import CUDA

#: RoI sides around the border between two levels of scales 1/4 ... 1/32.
LEVEL_OF_SIDE = {1.0: 2, 111.9: 2, 112.0: 3, 223.9: 3, 224.0: 4, 447.9: 4, 448.0: 5, 5000.0: 5}


#: The levels that fall on these scales.
LEVELS = Pyramid((1 / 4, 1 / 8, 1 / 16, 1 / 32))

GRADIENT_CHECK = {"dtype": np.float64, "eps": 1e-4, "atol": 1e-8, "rtol": 1e-7}


def host(a):
    return chainer.backends.cuda.to_cpu(a)


def pyramid(dtype=np.float32, levels=4):
    rng = np.random.RandomState(0)
    xs = [rng.uniform(-1, 1, (2, 5, 64 >> k, 72 >> k)).astype(dtype) for k in range(levels)]
    corners = np.sort(rng.uniform(0, 1, (40, 2, 2)) * (256, 288), axis=1).reshape(40, 4)
    corners[:4] = [(0, 0, 112, 112), (0, 0, 224, 224), (5, 5, 5, 5), (0, 0, 256, 288)]
    return xs, corners.astype(np.float32), (np.arange(40) % 2).astype(np.int32)


@pytest.mark.parametrize(("side", "level"), LEVEL_OF_SIDE.items())
def test_the_level_of_a_roi(side, level):
    rois = np.array([[10, 20, 10 + side, 20 + side]], np.float64)
    assert assign_levels(rois, LEVELS).tolist() == [level - 2]


def test_odd_rois_belong_to_the_finest_level():
    rois = np.array([[5, 5, 5, 5], [9, 0, 1, 300], [np.nan, 0, 500, 500], [0, 0, np.inf, 9]], np.float32)
    rois = np.append(rois, np.float32([[np.inf, 0, np.inf, 9], [0, 0, 3e38, 3e38]]), axis=0)  # without a warning
    assert assign_levels(rois, LEVELS).tolist() == [0, 0, 0, 3, 0, 3]


def test_each_level_pools_its_rois(device):
    xs, rois, roi_indices = pyramid()
    xs, rois, roi_indices = [device.asarray(x) for x in xs], device.asarray(rois), device.asarray(roi_indices)
    y = host(functions.multi_scale_roi_align(xs, rois, roi_indices, (3, 2), (256, 288)).array)
    levels = host(assign_levels(rois, LEVELS))
    assert set(levels) == {0, 1, 2}
    for level, x in enumerate(xs):
        alone = functions.roi_align(x, rois, roi_indices, (3, 2), 2.0 ** -(level + 2), sampling_ratio=2)
        np.testing.assert_array_equal(y[levels == level], host(alone.array)[levels == level])


@pytest.mark.parametrize(("side", "rule", "level"), [
    (224 - 1e-5, LevelRule(), 4), (224 - 1e-5, LevelRule(level_eps=0.0), 3),
    (224 - 1e-7, LevelRule(56, 2, 1e-6, 0.0), 4), (112, LevelRule(56, 2, 1e-6, 0.0), 3),
    (224 - 1e-7, LevelRule(224, 4, 1e-8, 0.0), 4),
])  # fmt: skip
def test_the_level_of_a_roi_by_other_rules(side, rule, level):
    rois = np.array([[0, 0, side, side]], np.float64)
    assert assign_levels(rois, LEVELS._replace(rule=rule)).tolist() == [level - 2]


def test_each_level_pools_its_rois_by_other_rules(device):
    xs, rois, roi_indices = pyramid()
    xs, rois, roi_indices = [device.asarray(x) for x in xs], device.asarray(rois), device.asarray(roi_indices)
    rule = LevelRule(56, 2, ratio_eps=0.7, level_eps=0.2)
    options = {"sampling_ratio": 0, "aligned": True}
    y = functions.multi_scale_roi_align(xs, rois, roi_indices, (3, 2), (256, 288), **options, **rule._asdict())
    levels = host(assign_levels(rois, LEVELS._replace(rule=rule)))
    assert set(levels) == {0, 1, 2}
    assert (levels != host(assign_levels(rois, LEVELS))).sum() > 10
    for level, x in enumerate(xs):
        alone = functions.roi_align(x, rois, roi_indices, (3, 2), 2.0 ** -(level + 2), **options)
        np.testing.assert_array_equal(host(y.array)[levels == level], host(alone.array)[levels == level])


def test_a_level_may_be_left_out(device):
    """The highest level takes those of the one that is missing, and those beyond."""
    xs, rois, roi_indices = pyramid()
    rois[4] = 0, 0, 250, 250  # of level 4
    xs, rois, roi_indices = [device.asarray(x) for x in xs[::2]], device.asarray(rois), device.asarray(roi_indices)
    y = host(functions.multi_scale_roi_align(xs, rois, roi_indices, (3, 2), (256, 288)).array)
    levels = host(assign_levels(rois, Pyramid((1 / 4, 1 / 16))))
    assert levels[[1, 2, 4]].tolist() == [1, 0, 1]
    for level, x in enumerate(xs):
        alone = functions.roi_align(x, rois, roi_indices, (3, 2), 4.0 ** -(level + 1), sampling_ratio=2)
        np.testing.assert_array_equal(y[levels == level], host(alone.array)[levels == level])


def sorted_pyramid():
    """The RoIs in the order of their images, as torchvision takes them, and a gradient."""
    _, rois, roi_indices = pyramid()
    order = np.argsort(roi_indices, kind="stable")
    return rois[order], roi_indices[order], np.random.RandomState(1).uniform(-1, 1, (40, 5, 7, 7))


@pytest.fixture(scope="module")
def torchvision_pyramid(torchvision_live):
    code = """
        from collections import OrderedDict

        for name in ("float32", "float64"):
            xs = OrderedDict((str(k), torch.tensor(inputs[f"x{k}_{name}"], requires_grad=True)) for k in range(4))
            boxes = [torch.tensor(inputs[f"boxes{b}"]).to(xs["0"].dtype) for b in range(2)]
            y = torchvision.ops.MultiScaleRoIAlign(list(xs), 7, 2)(xs, boxes, [(256, 288), (240, 200)])
            (y * torch.tensor(inputs["gy"]).to(y.dtype)).sum().backward()
            outputs["y_" + name] = y
            for k in range(4):
                x = xs[str(k)]
                outputs[f"gx{k}_{name}"] = torch.zeros_like(x) if x.grad is None else x.grad
    """
    rois, roi_indices, gy = sorted_pyramid()
    arrays = {f"x{k}_{np.dtype(t).name}": x for t in (np.float32, np.float64) for k, x in enumerate(pyramid(t)[0])}
    arrays |= {f"boxes{b}": rois[roi_indices == b][:, [1, 0, 3, 2]] for b in range(2)}
    return torchvision_live.run(code, gy=gy, **arrays)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_the_pyramid_equals_torchvision(device, torchvision_pyramid, dtype, tolerance):
    rois, roi_indices, gy = sorted_pyramid()
    xs = [chainer.Variable(device.asarray(x)) for x in pyramid(dtype)[0]]
    y = functions.multi_scale_roi_align(
        xs, device.asarray(rois.astype(dtype)), device.asarray(roi_indices), 7, [(256, 288), (240, 200)]
    )
    y.grad = device.asarray(gy.astype(dtype))
    y.backward()
    name = np.dtype(dtype).name
    np.testing.assert_allclose(host(y.array), torchvision_pyramid[f"y_{name}"], rtol=0, atol=tolerance)
    for k, x in enumerate(xs):
        np.testing.assert_allclose(host(x.grad), torchvision_pyramid[f"gx{k}_{name}"], rtol=0, atol=tolerance)


def test_the_pyramids_gradients(device):
    rng = np.random.RandomState(0)
    xs = [device.asarray(rng.uniform(-1, 1, (1, 2, 8 >> k, 8 >> k))) for k in range(2)]
    rois = device.asarray([(0, 0, 20, 30), (0, 0, 3, 4), (2, 3, 9, 8)], np.float64)
    roi_indices = device.zeros(3, np.int32)

    def f(*xs):
        return functions.multi_scale_roi_align(
            xs, rois, roi_indices, 2, (32, 32), canonical_scale=16, canonical_level=3
        )

    gy, ggx = (
        device.asarray(rng.uniform(-1, 1, (3, 2, 2, 2))),
        [device.asarray(rng.uniform(-1, 1, x.shape)) for x in xs],
    )
    gradient_check.check_backward(f, tuple(xs), gy, **GRADIENT_CHECK)
    gradient_check.check_double_backward(f, tuple(xs), gy, tuple(ggx), **GRADIENT_CHECK)


@pytest.mark.parametrize("device", CUDA, indirect=True)
def test_the_pyramids_gradients_without_atomics_are_the_same(device):
    xs, rois, roi_indices = pyramid(levels=3)
    gy, gradients = np.random.RandomState(1).uniform(-1, 1, (8, 5, 3, 2)).astype(np.float32), []
    for deterministic in (False, True):
        leaves = [chainer.Variable(device.asarray(x)) for x in xs]
        arrays = device.asarray(rois[:8]), device.asarray(roi_indices[:8])
        with chainer.using_config("cudnn_deterministic", deterministic):
            y = functions.multi_scale_roi_align(leaves, *arrays, (3, 2), (256, 288))
            y.grad = device.asarray(gy)
            y.backward()
        gradients.append([host(x.grad) for x in leaves])
    for atomic, gathered in zip(*gradients, strict=True):
        assert atomic.any()
        np.testing.assert_allclose(gathered, atomic, rtol=0, atol=1e-6)


def test_a_second_derivative_by_one_level_alone():
    xs = [chainer.Variable(x) for x in pyramid(np.float64, 2)[0]]
    _, rois, roi_indices = pyramid()
    y = functions.multi_scale_roi_align(xs, rois, roi_indices, 2, (256, 288))
    (gx,) = chainer.grad([chainer.functions.sum(y * y)], xs[:1], enable_double_backprop=True)
    (ggx,) = chainer.grad([chainer.functions.sum(gx)], xs[:1])
    ones = functions.multi_scale_roi_align([np.ones_like(x.array) for x in xs], rois, roi_indices, 2, (256, 288)).array
    finest = (assign_levels(rois, Pyramid((1 / 4, 1 / 8))) == 0)[:, None, None, None]
    again = functions.multi_scale_roi_align(xs, rois, roi_indices, 2, (256, 288))
    (expected,) = chainer.grad([chainer.functions.sum(again * (2 * ones * finest))], xs[:1])
    np.testing.assert_allclose(ggx.array, expected.array, atol=1e-12)


def test_the_pyramid_names_bad_arguments():
    name = "^multi_scale_roi_align: "
    xs, rois, roi_indices = pyramid()
    with pytest.raises(ValueError, match=name + r"xs must have at least one level, got none$"):
        functions.multi_scale_roi_align([], rois, roi_indices, 7, (256, 288))
    with pytest.raises(
        ValueError, match=name + r"xs\[1\] must be float32 \(2, 5\) as xs\[0\] is, got float32 \(1, 5\)$"
    ):
        functions.multi_scale_roi_align([xs[0], xs[1][:1]], rois, roi_indices, 7, (256, 288))
    with pytest.raises(ValueError, match=name + r"image_size must be \(H, W\) or a list of them, got 5$"):
        functions.multi_scale_roi_align(xs, rois, roi_indices, 7, 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("outsize", [(1, 1), (3, 4), (11, 14), (13, 5)])
def test_adaptive_pooling_equals_the_loops(device, dtype, outsize):
    x = np.random.RandomState(0).uniform(-1, 1, (2, 35, 11, 14)).astype(dtype)
    y = functions.adaptive_max_pool_2d(device.asarray(x), outsize)
    np.testing.assert_array_equal(host(y.array), loops.adaptive_pool(x, outsize, np.max))
    y = functions.adaptive_avg_pool_2d(device.asarray(x), outsize)
    expected = loops.adaptive_pool(x.astype(np.float64), outsize, np.mean)
    assert y.dtype == dtype
    np.testing.assert_allclose(host(y.array), expected, rtol=0, atol=1e-3 if dtype == np.float16 else 1e-6)


def test_adaptive_max_pooling_finds_minus_infinity_but_no_nan(device):
    x = device.full((1, 1, 2, 4), -np.inf, np.float32)
    x[0, 0, 0, 3] = np.nan
    x[0, 0, 1, 3] = 5
    assert host(functions.adaptive_max_pool_2d(x, (1, 2)).array).tolist() == [[[[-np.inf, 5]]]]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: functions.adaptive_max_pool_2d(x, (3, 2)),
        lambda x: functions.adaptive_avg_pool_2d(x, (3, 2)),
        lambda x: functions.resize_nearest(x, (7, 3)),
        lambda x: functions.resize_bilinear(x, (7, 3)),
        lambda x: functions.resize_bilinear(x, (3, 9), align_corners=True),
    ],
    ids=["adaptive_max", "adaptive_avg", "nearest", "bilinear", "bilinear, corners"],
)
def test_gradients_of_pooling_and_resizing(device, f):
    rng = np.random.RandomState(0)
    x = device.asarray(rng.permutation(2 * 3 * 5 * 4).reshape(2, 3, 5, 4) / 120)
    gy, ggx = device.asarray(rng.uniform(-1, 1, f(x).shape)), device.asarray(rng.uniform(-1, 1, x.shape))
    gradient_check.check_backward(f, x, gy, **GRADIENT_CHECK)
    gradient_check.check_double_backward(f, x, gy, ggx, **GRADIENT_CHECK)


@pytest.mark.parametrize("f", [functions.resize_nearest, functions.resize_bilinear], ids=["nearest", "bilinear"])
def test_matrices_are_only_made_for_gradients(f):
    x = np.zeros((1, 1, 3000, 1), np.float32)
    f(x, (2999, 1))  # imports what it needs
    tracemalloc.start()
    f(x, (2999, 1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3000 * 2999  # less than a byte for each of its numbers


def test_roi_pooling_by_adaptive_max_pooling(device):
    """The recipe of docs/roi_ops.md: cut the RoI out by rounding its corners, then pool what is left."""
    rng = np.random.RandomState(0)
    x = device.asarray(rng.uniform(-1, 1, (2, 3, 11, 14)).astype(np.float32))
    rois = np.array([(2, 3, 9, 11), (1, 5, 9, 13), (0, 0, 20, 26), (6, 6, 6, 6)], np.float32)
    roi_indices = np.array([0, 1, 1, 0], np.int32)
    parts = []
    for roi, b in zip(rois, roi_indices, strict=True):
        y0, x0, y1, x1 = np.floor(roi * 0.5 + 0.5).astype(int)  # halves away from zero, for coordinates >= 0
        parts.append(functions.adaptive_max_pool_2d(x[b : b + 1, :, y0 : y1 + 1, x0 : x1 + 1], (3, 4)))
    recipe = chainer.functions.concat(parts, axis=0)
    pooled = functions.roi_pool(x, device.asarray(rois), device.asarray(roi_indices), (3, 4), 0.5)
    np.testing.assert_array_equal(host(recipe.array), host(pooled.array))


SIZES = ((13, 17), (22, 28), (5, 30), (1, 1), (11, 14), (33, 3))
CALLS = {
    "nearest": functions.resize_nearest,
    "bilinear": functions.resize_bilinear,
    "corners": lambda x, size: functions.resize_bilinear(x, size, align_corners=True),
    "max": functions.adaptive_max_pool_2d,
    "avg": functions.adaptive_avg_pool_2d,
}


def map_to_resize(dtype):
    return np.random.RandomState(0).uniform(-1, 1, (2, 3, 11, 14)).astype(dtype)


@pytest.fixture(scope="module")
def torch_maps(torchvision_live):
    code = f"""
        functional = torch.nn.functional
        calls = {{
            "nearest": lambda x, size: functional.interpolate(x, size=size, mode="nearest"),
            "bilinear": lambda x, size: functional.interpolate(x, size=size, mode="bilinear", align_corners=False),
            "corners": lambda x, size: functional.interpolate(x, size=size, mode="bilinear", align_corners=True),
            "max": functional.adaptive_max_pool2d,
            "avg": functional.adaptive_avg_pool2d,
        }}
        for name in ("float32", "float64"):
            for size in {SIZES!r}:
                for call, f in calls.items():
                    x = torch.tensor(inputs[name], requires_grad=True)
                    y = f(x, size)
                    (y * y).sum().backward()
                    outputs[f"y_{{call}}_{{name}}_{{size}}"], outputs[f"gx_{{call}}_{{name}}_{{size}}"] = y, x.grad
    """
    return torchvision_live.run(code, float32=map_to_resize(np.float32), float64=map_to_resize(np.float64))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_resizing_and_adaptive_pooling_equal_torch(device, torch_maps, call, name, tolerance):
    for size in SIZES:
        x = chainer.Variable(device.asarray(map_to_resize(name)))
        y = CALLS[call](x, size)
        (gx,) = chainer.grad([chainer.functions.sum(y * y)], [x])
        key = f"{call}_{name}_{size}"
        np.testing.assert_allclose(host(y.array), torch_maps[f"y_{key}"], rtol=0, atol=tolerance, err_msg=key)
        scale = max(size[0] * size[1] / 154, 1)  # as many results sum up in a pixel's gradient
        np.testing.assert_allclose(host(gx.array), torch_maps[f"gx_{key}"], rtol=0, atol=scale * tolerance, err_msg=key)
