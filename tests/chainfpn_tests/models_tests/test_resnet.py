"""ResNets: torchvision's logits and stages from torchvision's own files; the options; nothing shared between two."""

import textwrap

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.links import BasicBlock, FrozenBatchNormalization, ResNet, ResNet18, ResNet50
from reference.initial_weights import draw_all
from reference.random_networks import RANDOM_NETWORKS

STAGES = ("layer1", "layer2", "layer3", "layer4")
#: One of each kind of block; test_classifiers.py has the deeper ones.
VARIANTS = {
    "resnet18": {},
    "resnet50": {},
    "resnet50 dilated": {"replace_stride_with_dilation": (False, True, True)},
}


@pytest.fixture(scope="module")
def x():
    """A batch of two, with odd sides."""
    return np.random.RandomState(0).normal(size=(2, 3, 65, 97))


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory, x):
    """torchvision's stages and logits in both precisions, and a checkpoint of each network."""
    folder = tmp_path_factory.mktemp("resnets")
    code = f"""
    x = torch.from_numpy(inputs["x"])
    for i, (name, options) in enumerate({VARIANTS!r}.items()):
        model = getattr(torchvision.models, name.split()[0])(num_classes=10, **options).eval()
        settle(model, lambda: model(x.float()), i)
        torch.save(model.state_dict(), folder / f"{{name}}.pth", _use_new_zipfile_serialization=i % 2 == 0)
        for dtype in (torch.float32, torch.float64):
            model, h = model.to(dtype), x.to(dtype)
            stages = dict(model.named_children())
            for key in {STAGES!r}:
                stages[key].register_forward_hook(
                    lambda m, i, o, key=key: outputs.__setitem__(f"{{name}} {{o.dtype}} {{key}}", o)
                )
            with torch.no_grad():
                outputs[f"{{name}} {{dtype}} fc"] = model(h)
    """
    return folder, torchvision_live.run(RANDOM_NETWORKS + textwrap.dedent(code), folder=folder, x=x)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_and_stages_are_torchvisions(theirs, x, name, dtype, tolerance):
    folder, expected = theirs
    with chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", False):
        link = getattr(models, name.split()[0])(pretrained_model=folder / f"{name}.pth", **VARIANTS[name])
        link.pick = (*STAGES, "fc")
        with chainer.no_backprop_mode():
            outputs = dict(zip(link.pick, link(x.astype(dtype)), strict=True))
    for key, ours in outputs.items():
        reference = expected[f"{name} torch.{dtype} {key}"]
        assert ours.dtype == dtype
        error = float(np.abs(ours.array - reference).max() / np.abs(reference).max())
        assert error <= tolerance, key


def test_the_number_of_classes_is_the_files(theirs):
    folder, _ = theirs
    assert models.resnet18(pretrained_model=folder / "resnet18.pth").fc.W.shape == (10, 512)


def test_initial_values_spread_as_torchvisions(torchvision_live):
    out = torchvision_live.run(
        """
        model = torchvision.models.resnet50()
        for name, value in model.state_dict().items():
            if value.ndim > 1:
                outputs[name.replace(".", "/")] = np.array([value.std(), value.abs().max()])
        """
    )
    np.random.seed(0)
    with draw_all():
        link = ResNet50()
    for name, (std, largest) in out.items():
        W = dict(link.namedparams())["/" + name.removesuffix("weight") + "W"].array
        assert W.std() == pytest.approx(std, rel=0.06), name
        assert np.abs(W).max() == pytest.approx(largest, rel=0.35), name


def test_picked_stages_need_nothing_above_them():
    link = ResNet18()
    link.pick = ("layer1", "layer3")
    link.remove_unused()
    with chainer.using_config("train", False):
        c2, c4 = link(np.zeros((1, 3, 64, 96), dtype="f"))
    assert (c2.shape, c4.shape) == ((1, 64, 16, 24), (1, 256, 4, 6))
    assert not any(name.startswith(("/layer4", "/fc")) for name, _ in link.namedparams())


def test_zero_init_residual_makes_every_block_the_identity():
    link = ResNet18(zero_init_residual=True, norm=FrozenBatchNormalization)
    h = np.random.RandomState(0).uniform(size=(1, 64, 8, 8)).astype("f")
    np.testing.assert_array_equal(link.layer1(h).array, h)
    assert (models.resnet50(zero_init_residual=True).layer2[0].bn3.gamma.array == 0).all()


def test_stride_in_1x1_moves_the_stride():
    there, here = ResNet50(stride_in_1x1=True).layer2[0], ResNet50().layer2[0]
    assert (there.conv1.stride, there.conv2.stride) == ((2, 2), (1, 1))
    assert (here.conv1.stride, here.conv2.stride) == ((1, 1), (2, 2))


def test_frozen_statistics_are_no_parameters():
    link = ResNet18(norm=FrozenBatchNormalization)
    assert not any("/bn" in name for name, _ in link.namedparams())


def test_building_twice_changes_nothing():
    first = models.resnet18(norm=FrozenBatchNormalization, zero_init_residual=True)
    second = models.resnet18(norm=FrozenBatchNormalization)
    assert (first.layer1[0].bn2.gamma == 0).all()
    assert (second.layer1[0].bn2.gamma == 1).all()


def test_what_a_basic_block_cannot_do_is_said():
    with pytest.raises(ValueError, match=r"ResNet: groups, width_per_group, .* must be left at their defaults"):
        ResNet(BasicBlock, (2, 2, 2, 2), groups=2)
    with pytest.raises(ValueError, match="ResNet: replace_stride_with_dilation must have 3 entries"):
        ResNet50(replace_stride_with_dilation=(True,))
