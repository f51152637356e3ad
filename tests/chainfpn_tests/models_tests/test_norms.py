"""Group normalization, and batch normalization over all processes, in place of torchvision's."""

import functools

import chainer
import numpy as np
import pytest
from chainer.backends import cuda

from chainfpn import load_weights, models, save_weights
from chainfpn.links import FPN, BatchNormalization, FrozenBatchNormalization, GroupNormalization
from reference import seeded_weights
from reference.photographs import photographs
from reference.seeded_weights import fill_link, seeded_input

SMALL = {"n_fg_class": 3, "stages": (2, 3), "fpn_channels": 32, "min_size": 64}

#: torchvision's ResNet and pyramid with group normalization.
CODE = """
    import functools, sys
    sys.path.insert(0, str(folder))
    from seeded_weights import fill_module, seeded_input
    norm = functools.partial(torch.nn.GroupNorm, 32)
    resnet = torchvision.models.resnet18(num_classes=3, norm_layer=norm).eval()
    fpn = torchvision.ops.FeaturePyramidNetwork([64, 128], 64, norm_layer=norm).eval()
    for name, module in (("resnet", resnet), ("fpn", fpn)):
        fill_module(module)
        outputs[f"{name} names"] = np.array(sorted(module.state_dict()))
        module.double()
    x = torch.from_numpy(seeded_input(2, 3, 65, 79)).double()
    maps = {str(i): torch.from_numpy(seeded_input(2, c, h, w)).double() for i, (c, h, w) in enumerate(inputs["maps"])}
    with torch.no_grad():
        outputs["resnet"] = resnet(x)
        for name, h in fpn(maps).items():
            outputs[f"map{name}"] = h
"""
MAPS = ((64, 9, 13), (128, 5, 7))


@pytest.fixture(scope="module")
def theirs(torchvision_live):
    """What torchvision makes of the same weights and images."""
    folder = seeded_weights.__file__.rpartition("/")[0]
    return torchvision_live.run(CODE, folder=folder, maps=np.array(MAPS))


def test_resnet_with_group_normalization_is_torchvisions(theirs):
    with chainer.using_config("dtype", np.float64), chainer.using_config("train", False):
        link = models.resnet18(3, norm=GroupNormalization)
        fill_link(link)
        logits = link(seeded_input(2, 3, 65, 79).astype(np.float64)).array
    np.testing.assert_allclose(logits, theirs["resnet"], rtol=1e-10, atol=1e-10 * np.abs(theirs["resnet"]).max())
    assert torch_names(link) == theirs["resnet names"].tolist()


def test_pyramid_with_group_normalization_is_torchvisions(theirs):
    with chainer.using_config("dtype", np.float64), chainer.using_config("train", False):
        link = FPN([64, 128], 64, norm=GroupNormalization)
        fill_link(link)
        for i, h in enumerate(link([seeded_input(2, *shape).astype(np.float64) for shape in MAPS])):
            expected = theirs[f"map{i}"]
            np.testing.assert_allclose(h.array, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    assert torch_names(link) == theirs["fpn names"].tolist()


def torch_names(link):
    """Return what torch calls the parameters of a link."""
    leaves = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    split = (path[1:].replace("/", ".").rpartition(".") for path, _ in link.namedparams())
    return sorted(f"{stem}.{leaves[leaf]}" for stem, _, leaf in split)


def test_names_are_those_of_batch_normalization():
    params = [
        {path for path, _ in models.resnet18(3, norm=norm).namedparams()}
        for norm in (BatchNormalization, GroupNormalization)
    ]
    assert params[0] == params[1]


@pytest.mark.parametrize("n", [31, 48])
def test_groups_must_be_equal(n):
    with pytest.raises(ValueError, match=f"GroupNormalization: size must be a multiple of groups = 32, got {n}"):
        GroupNormalization(n)


@pytest.mark.parametrize(
    "name",
    [
        "fasterrcnn_resnet_fpn",
        "fasterrcnn_resnet_fpn_v2",
        "keypointrcnn_resnet_fpn",
        "retinanet_resnet_fpn",
        "fcos_resnet_fpn",
    ],
)
def test_a_detector_with_group_normalization_is_saved_and_loaded(name, tmp_path):
    model = getattr(models, name)(18, norm="group", norm_eps=1e-3, **SMALL)
    assert not any(hasattr(link, "avg_mean") for link in model.links())
    assert model.backbone.body.bn1.eps == 1e-3
    if name.endswith("_v2"):
        assert isinstance(model.backbone.fpn.inner_blocks[0][1], GroupNormalization)
        assert isinstance(model.roi_heads.box_head[0][1], GroupNormalization)
    save_weights(tmp_path / "group.npz", model)
    loaded = models.load(tmp_path / "group.npz")
    img = photographs()["small"]
    model.score_thresh = loaded.score_thresh = 0.0
    if hasattr(model, "roi_heads"):
        model.roi_heads.detections_per_img = loaded.roi_heads.detections_per_img = 5
    for a, b in zip(model.predict([img]), loaded.predict([img]), strict=True):
        assert len(a[0]) > 0
        np.testing.assert_array_equal(a[0], b[0])


def test_the_trunk_of_a_detector_learns_if_asked():
    norms = {
        norm: models.fasterrcnn_resnet_fpn(18, norm=norm, **SMALL).backbone.body.bn1
        for norm in ("batch", "frozen", None)
    }
    assert [type(link) for link in norms.values()] == [
        BatchNormalization,
        FrozenBatchNormalization,
        FrozenBatchNormalization,
    ]
    with pytest.raises(
        ValueError, match="retinanet_resnet_fpn: norm must be callable or one of frozen, batch, group, got 'sync'"
    ):
        models.retinanet_resnet_fpn(18, norm="sync", **SMALL)


@pytest.fixture
def sync_norm(mpi, monkeypatch):
    """Make batch normalization over all processes, here one."""
    import chainermn

    monkeypatch.setattr(chainer, "disable_experimental_feature_warning", True)
    comm = chainermn.create_communicator("naive")
    return functools.partial(chainermn.links.MultiNodeBatchNormalization, comm=comm, eps=1e-5)


def test_batch_normalization_over_one_process_is_batch_normalization(sync_norm, tmp_path):
    """The same names, outputs, gradients and statistics; and a file of one is one of the other."""
    with chainer.using_config("dtype", np.float64):
        links = [models.resnet18(3, norm=norm) for norm in (BatchNormalization, sync_norm)]
        x = seeded_input(4, 3, 33, 47).astype(np.float64)
        for link in links:
            fill_link(link)
            with chainer.using_config("train", True):
                chainer.functions.sum(link(x) ** 2).backward()
        expected, found = (dict(link.namedparams()) for link in links)
        assert expected.keys() == found.keys()
        for name, param in expected.items():
            np.testing.assert_allclose(
                found[name].grad, param.grad, rtol=1e-6, atol=1e-9 * np.abs(param.grad).max() + 1e-9
            )
        for (name, link), (_, other) in zip(*(sorted(link.namedlinks()) for link in links), strict=True):
            if hasattr(link, "avg_mean"):
                np.testing.assert_allclose(other.avg_mean, link.avg_mean, rtol=1e-9, atol=1e-9, err_msg=name)
                np.testing.assert_allclose(other.avg_var, link.avg_var, rtol=1e-9, atol=1e-9, err_msg=name)
        save_weights(tmp_path / "one.npz", links[0])
        load_weights(tmp_path / "one.npz", links[1])
        with chainer.using_config("train", False):
            np.testing.assert_allclose(links[1](x).array, links[0](x).array, rtol=1e-9)


def test_a_detector_whose_trunk_is_normalized_over_all_processes(sync_norm, tmp_path):
    model = models.fasterrcnn_resnet_fpn(18, norm=sync_norm, **SMALL)
    assert type(model.backbone.body.bn1).__name__ == "MultiNodeBatchNormalization"
    fill_link(model)
    save_weights(tmp_path / "sync.npz", model)
    loaded = models.load(tmp_path / "sync.npz")  # for detecting: torchvision's frozen statistics
    assert isinstance(loaded.backbone.body.bn1, FrozenBatchNormalization)
    img = photographs()["small"]
    model.score_thresh = loaded.score_thresh = 0.0
    for a, b in zip(model.predict([img]), loaded.predict([img]), strict=True):
        np.testing.assert_allclose(cuda.to_cpu(a[0]), b[0], rtol=1e-3, atol=1e-3)
