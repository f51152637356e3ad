"""Pyramids: torchvision's and kuangliu's, from their own files, on maps whose sizes are not halves of each other."""

import re
import textwrap

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.links import FPN, BatchNormalization, KuangliuFPN, LastLevelP6P7, max_pool_level
from chainfpn.serialization import set_weights
from reference.detector_cases import HERE
from reference.random_networks import RANDOM_NETWORKS
from weights_convert import convert_arrays

CHANNELS = (4, 6, 8)
SIZES = ((13, 21), (7, 10), (3, 5))
EXTRAS = {
    "none": ("None", lambda: None),
    "max pool": ("ops.feature_pyramid_network.LastLevelMaxPool()", lambda: max_pool_level),
    "p6 p7 of c5": ("ops.feature_pyramid_network.LastLevelP6P7(8, 5)", lambda: LastLevelP6P7(8, 5)),
    "p6 p7 of p5": ("ops.feature_pyramid_network.LastLevelP6P7(5, 5)", lambda: LastLevelP6P7(5, 5)),
    "normalized": ("None", lambda: None),
}


@pytest.fixture(scope="module")
def hs():
    rng = np.random.RandomState(0)
    return [rng.normal(size=(2, c, *size)) for c, size in zip(CHANNELS, SIZES, strict=True)]


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory, hs):
    folder = tmp_path_factory.mktemp("fpn")
    code = f"""
    from torchvision import ops
    maps = {{str(i): torch.from_numpy(inputs[f"arr_{{i}}"]) for i in range(3)}}
    for name, extra in {[(name, code) for name, (code, _) in EXTRAS.items()]!r}:
        norm = torch.nn.BatchNorm2d if name == "normalized" else None
        fpn = ops.FeaturePyramidNetwork({list(CHANNELS)!r}, 5, eval(extra), norm).double().eval()
        settle(fpn, lambda: fpn(dict(maps)), 0)
        torch.save({{f"backbone.fpn.{{k}}": v for k, v in fpn.state_dict().items()}}, folder / f"{{name}}.pth")
        for i, p in enumerate(fpn(dict(maps)).values()):
            outputs[f"{{name}} {{i}}"] = p
    """
    arrays = {f"arr_{i}": h for i, h in enumerate(hs)}
    return folder, torchvision_live.run(RANDOM_NETWORKS + textwrap.dedent(code), folder=folder, **arrays)


@pytest.mark.parametrize("name", EXTRAS)
def test_levels_are_torchvisions(theirs, hs, name):
    folder, expected = theirs
    arrays, _, _ = convert_arrays(folder / f"{name}.pth", model="any")
    norm = BatchNormalization if name == "normalized" else None
    with chainer.using_config("dtype", np.dtype("float64")), chainer.using_config("train", False):
        fpn = FPN(CHANNELS, 5, extra_blocks=EXTRAS[name][1](), norm=norm)
        set_weights({key.removeprefix("backbone/fpn/"): value for key, value in arrays.items()}, fpn)
        ps = fpn(hs)
    levels = [expected[key] for key in expected if key.startswith(f"{name} ")]
    assert len(ps) == len(levels) == len(hs) + {"max pool": 1, "p6 p7 of c5": 2, "p6 p7 of p5": 2}.get(name, 0)
    for p, level in zip(ps, levels, strict=True):
        np.testing.assert_allclose(p.array, level, rtol=1e-10, atol=1e-12)


def test_p7_without_relu(hs):
    with chainer.using_config("dtype", np.dtype("float64")):
        levels = LastLevelP6P7(8, 5, relu=False)
        p6, p7 = levels([], hs)
        levels.relu = True
        _, usual = levels([], hs)
    np.testing.assert_array_equal(p7.array, levels.p7(p6).array)
    assert np.abs(p7.array - usual.array).max() > 1e-3


def test_every_map_needs_its_lateral(hs):
    with chainer.using_config("dtype", np.dtype("float64")):
        fpn = FPN(CHANNELS, 5)
    with pytest.raises(ValueError, match=r"FPN: hs must have maps of \[4, 6, 8\] channels"):
        fpn(hs[:2])


@pytest.fixture(scope="module")
def kuangliu(torchvision_live, tmp_path_factory):
    """kuangliu's networks, put together again from torchvision's trunk: levels with both ways to meet the corners."""
    folder = tmp_path_factory.mktemp("kuangliu")
    x = np.random.RandomState(0).normal(size=(1, 3, 75, 107))
    code = """
    import sys
    sys.path.insert(0, str(inputs["reference"]))
    from kuangliu_networks import FPN
    x = torch.from_numpy(inputs["x"])
    for name, blocks in (("fpn50", [3, 4, 6, 3]), ("fpn101", [2, 2, 2, 2])):
        net = FPN(blocks).double().eval()
        settle(net, lambda: net(x), 0)
        weights = {k.replace("downsample", "shortcut"): v for k, v in net.state_dict().items()}
        torch.save({"net": weights}, folder / f"{name}.pth")
        for net.align_corners in (False, True):
            for i, p in enumerate(net(x)):
                outputs[f"{name} {net.align_corners} {i}"] = p
    """
    code = RANDOM_NETWORKS + textwrap.dedent(code)
    return folder, x, torchvision_live.run(code, folder=folder, x=x, reference=str(HERE))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", ["fpn50", "fpn101"])
def test_kuangliu(kuangliu, name, align_corners):
    folder, x, expected = kuangliu
    with chainer.using_config("dtype", np.dtype("float64")), chainer.using_config("train", False):
        link = getattr(models, name)(folder / f"{name}.pth", align_corners=align_corners)
        with chainer.no_backprop_mode():
            ps = link(x)
    assert [p.shape[2:] for p in ps] == [(19, 27), (10, 14), (5, 7), (3, 4)]
    for i, p in enumerate(ps):
        level = expected[f"{name} {align_corners} {i}"]
        assert float(np.abs(p.array - level).max() / np.abs(level).max()) <= 1e-10, i


def test_the_file_says_which_of_the_two(kuangliu):
    assert len(models.load(kuangliu[0] / "fpn101.pth").layer3) == 2


def test_a_pyramid_says_that_it_has_no_class_scores():
    with pytest.raises(TypeError, match="KuangliuFPN: there is no predict, for a pyramid returns maps"):
        KuangliuFPN((1, 1, 1, 1)).predict([np.zeros((3, 32, 32), np.float32)])


@pytest.mark.parametrize("channels", [[256], [512, 256], [256, 512, 512]])
def test_maps_that_do_not_fit_are_named(channels):
    message = re.escape(f"FPN: hs must have maps of [256, 512] channels, as in_channels says, got maps of {channels}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        FPN([256, 512], 8)([np.zeros((1, n, 4, 4), np.float32) for n in channels])
