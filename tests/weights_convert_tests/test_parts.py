"""Parts are models, too: trunks, pyramids, other heads and self-supervised files, loadable without flags."""

import pickle

import chainer
import numpy as np
import pytest

import weights_convert
from chainfpn import models, read_weights, save_weights
from chainfpn.links.group_normalization import GroupNormalization
from reference.classifier_cases import LARGER
from weights_convert.architectures import detectors
from weights_convert.architectures.networks import NETWORKS
from weights_convert.architectures.resnet import Trunk
from weights_convert.architectures.shapes import linear
from weights_convert_tests import repeated

WRITE_PARTS = """
from torchvision import models
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_", "constant_"):
    setattr(torch.nn.init, name, lambda tensor, *args, **options: tensor)  # no values are looked at here
nn, get = torch.nn, detection.backbone_utils.IntermediateLayerGetter
def another_head(net, attribute):
    setattr(net, attribute, nn.Sequential(nn.Dropout(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)))
    return net
r18 = models.resnet18()
parts = {
    "getter": get(r18, {"layer2": "0", "layer3": "1"}),
    "children": nn.Sequential(*list(r18.children())[:-1]),
    "maps": nn.Sequential(*list(r18.children())[:-2]),
    "other fc": another_head(models.resnet18(), "fc"),
    "identity": models.resnet18(),
    "group": models.resnet18(norm_layer=lambda n: nn.GroupNorm(32, n)),
    "pyramid": resnet_fpn_backbone(backbone_name="resnet18", weights=None),
    "pyramid of three": resnet_fpn_backbone(backbone_name="resnet18", weights=None, returned_layers=[2, 3, 4]),
    "pyramid p6p7": resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(512, 256)),
    "pyramid v2": detection.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).backbone,
}
parts["identity"].fc = nn.Identity()
for name in FAMILIES:
    net = getattr(models, name)()
    if hasattr(net, "features"):
        parts[name + ".features"] = net.features
    head = next(head for head in ("classifier", "head", "fc") if hasattr(net, head))
    parts[name + " other head"] = another_head(net, head)
zero = torch.zeros(())
for name, net in parts.items():
    state = net.state_dict()
    torch.save({key: zero.to(value.dtype).expand(value.shape) for key, value in state.items()}, folder / f"{name}.pth")
"""


#: Networks, of each family whose first stands for it that one.
FAMILIES = [name for name in NETWORKS if name not in LARGER]
#: Those that have no ``features``.
WITHOUT_FEATURES = ("googlenet", "inception_v3", "regnet")


@pytest.fixture(scope="module")
def folder(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    torchvision_live.run(f"FAMILIES = {FAMILIES}\n{WRITE_PARTS}", folder=folder)
    with repeated.allowed():
        yield folder


PARTS = {
    "getter": ("resnet18", {"n_class": 0, "n_stages": 3}),
    "children": ("resnet18", {"n_class": 0}),
    "maps": ("resnet18", {"n_class": 0}),
    "other fc": ("resnet18", {"n_class": 0}),
    "identity": ("resnet18", {"n_class": 0}),
    "group": ("resnet18", {"n_class": 1000, "norm": "group"}),
    "pyramid": ("resnet_fpn_backbone", {"depth": 18}),
    "pyramid of three": ("resnet_fpn_backbone", {"depth": 18, "stages": [2, 3, 4]}),
    "pyramid p6p7": (
        "resnet_fpn_backbone",
        {"depth": 18, "stages": [2, 3, 4], "extra_levels": "p6p7", "p6_from_trunk": True},
    ),
    "pyramid v2": ("resnet_fpn_backbone", {"fpn_norm": True}),
    **{f"{name}.features": (name, {"n_class": 0}) for name in FAMILIES if not name.startswith(WITHOUT_FEATURES)},
    **{f"{name} other head": (name, {"n_class": 0}) for name in FAMILIES},
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_recognized(name, folder):
    report = weights_convert.inspect(folder / f"{name}.pth")
    assert (report.model, report.arguments, report.fits) == (*PARTS[name], True), report.to_text()
    heads = [key for key, why in report.dropped.items() if why == f"of another head than that of {report.model}"]
    if "other" in name:
        assert {key.rpartition("/")[0] for key in heads if key.startswith(("classifier/", "fc/", "head/"))} in (
            {"classifier/1", "classifier/3"},
            {"fc/1", "fc/3"},
            {"head/1", "head/3"},
        )
    else:
        assert report.dropped == {}


BUILT = (
    "getter", "children", "group", "pyramid", "pyramid p6p7", "mobilenet_v3_small.features", "squeezenet1_1.features",
    "mobilenet_v2 other head", "googlenet other head",
)  # fmt: skip


@pytest.mark.parametrize("name", BUILT)
def test_a_part_is_a_model_again(name, folder, tmp_path):
    path = folder / f"{name}.pth"
    report = weights_convert.convert(path, tmp_path / "part.npz")
    for file in (tmp_path / "part.npz", path):
        link = models.load(file)
        assert link.meta["model"] == report.model
    save_weights(tmp_path / "again.npz", link)
    again = weights_convert.inspect(tmp_path / "again.npz")
    known = report.arguments | read_weights(tmp_path / "again.npz")[1]["arguments"]
    assert (again.model, again.arguments, again.fits) == (report.model, known, True)
    weights_convert.convert(tmp_path / "again.npz", tmp_path / "back.pth")
    assert weights_convert.inspect(tmp_path / "back.pth").arguments == report.arguments
    if "n_class" in report.arguments and not report.arguments["n_class"]:
        with pytest.raises(ValueError, match="predict: the layers must end in 0 class scores"):
            link.predict([np.zeros((3, 75, 75), "f4")])


def test_the_features_of_a_swin_transformer_are_the_trunk_of_a_detector(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chainer.initializers, "generate_array", lambda init, shape, xp, **_: np.ones(shape, "f4"))
        slim = {"fpn_channels": 8, "head_channels": 8, "pretrained_backbone": folder / "swin_t.features.pth"}
        detector = models.fasterrcnn_resnet_fpn("swin_t", 1, **slim)
    assert [float(p.array.max()) for name, p in detector.backbone.body.namedparams() if "qkv/W" in name] == [0] * 12
    _, _, report = weights_convert.convert_arrays(folder / "swin_t.features.pth")
    assert report.notes == ["the norm behind the features is not in the file: weight 1 and bias 0 added"]


def test_a_trunk_with_group_normalization_needs_no_word(folder, tmp_path):
    detector = models.fasterrcnn_resnet_fpn(18, 1, head_channels=8, pretrained_backbone=folder / "group.pth")
    assert type(detector.backbone.body.bn1) is GroupNormalization
    assert detector.meta["arguments"]["norm"] == "group"
    classifier = models.resnet18(pretrained_model=folder / "group.pth")
    assert type(classifier.layer4[1].bn2) is GroupNormalization
    save_weights(tmp_path / "group.npz", classifier)
    assert type(models.load(tmp_path / "group.npz").bn1) is GroupNormalization


WRITE_VALUES = """
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
x = torch.from_numpy(inputs["x"])
for name, net in (
    ("trunk", torch.nn.Sequential(*list(torchvision.models.resnet18().children())[:-2])),
    ("features", torchvision.models.mobilenet_v3_small().features),
    ("pyramid", resnet_fpn_backbone(backbone_name="resnet18", weights=None)),
):
    for buffer in net.buffers():
        if buffer.dtype.is_floating_point:
            buffer.add_(torch.rand(buffer.shape))
    torch.save(net.state_dict(), folder / (name + ".pth"))
    maps = net.eval()(x)
    maps = list(maps.values()) if isinstance(maps, dict) else [maps]
    outputs.update({f"{name}{i}": y for i, y in enumerate(maps)})
"""


def test_parts_compute_what_torchvisions_do(torchvision_live, tmp_path):
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype("f4")
    expected = torchvision_live.run(WRITE_VALUES, folder=tmp_path, x=x)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for name in ("trunk", "features", "pyramid"):
            maps = models.load(tmp_path / f"{name}.pth")(x)
            for i, y in enumerate(maps if isinstance(maps, list) else [maps]):
                np.testing.assert_allclose(y.array, expected[f"{name}{i}"], rtol=1e-3, atol=1e-4)
        assert len(maps) == 5
    detector = models.fasterrcnn_resnet_fpn(18, 1, head_channels=8, pretrained_backbone=tmp_path / "pyramid.pth")
    pyramid = models.load(tmp_path / "pyramid.pth")
    np.testing.assert_array_equal(detector.backbone.fpn.inner_blocks[0].W.array, pyramid.fpn.inner_blocks[0].W.array)
    np.testing.assert_array_equal(detector.backbone.body.conv1.W.array, pyramid.body.conv1.W.array)


def zeros(shapes):
    return {name: np.zeros(shape, "f2") for name, shape in shapes.items()}


def renamed(prefix, arrays=None, *, children=False):
    """Return a ResNet-18 without fc, under a prefix, its layers by torchvision's names or by number."""
    numbers = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    arrays = arrays or zeros(Trunk("basic", (2, 2, 2, 2)).shapes())
    if children:
        arrays = {f"{numbers[name.partition('.')[0]]}.{name.partition('.')[2]}": a for name, a in arrays.items()}
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def beside(*names):
    return {name: np.zeros((2, 2), "f2") for name in names}


#: Files of self-supervised methods: the papers' repositories', and Lightly's.
PRETRAINED = {
    "MoCo": {
        **renamed("module.encoder_q."),
        **renamed("module.encoder_k."),
        **beside("module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.weight", "module.queue", "module.queue_ptr"),
    },
    "MoCo of one layer": {
        **renamed("module.encoder_q."),
        **beside("module.encoder_q.fc.weight", "module.encoder_q.fc.bias", "module.queue"),
    },
    "MoCo v3": {
        **renamed("module.base_encoder."),
        **renamed("module.momentum_encoder."),
        **beside("module.base_encoder.fc.0.weight", "module.predictor.0.weight"),
    },
    "SimSiam": {**renamed("module.encoder."), **beside("module.encoder.fc.0.weight", "module.predictor.0.weight")},
    "SupCon": {**renamed("encoder.module."), **beside("head.0.weight", "head.2.bias")},
    "SupCon of one process": {
        **{name.replace("downsample", "shortcut"): a for name, a in renamed("encoder.").items()},
        **beside("head.0.weight"),
    },
    "BYOL": {
        **renamed("online_encoder.net."),
        **renamed("target_encoder.net."),
        **beside("online_encoder.projector.0.weight", "target_encoder.projector.0.weight", "online_predictor.0.weight"),
    },
    "Barlow Twins": {**renamed("module.backbone."), **beside("module.projector.0.weight", "module.bn.running_mean")},
    "VICReg": {**renamed("module.backbone."), **beside("module.projector.0.weight", "module.projector.3.bias")},
    "SwAV": {**renamed("module."), **beside("module.projection_head.0.weight", "module.prototypes.weight")},
    "DINO's teacher": {**renamed("backbone."), **beside("head.mlp.0.weight", "head.last_layer.weight_g")},
    "DINO's student": {**renamed("module.backbone."), **beside("module.head.mlp.0.weight")},
    "SimCLR": {**renamed("backbone."), **beside("backbone.fc.0.weight", "backbone.fc.2.weight")},
    "SimCLR with a projector": {**renamed("encoder."), **beside("projector.0.weight", "projector.2.weight")},
    "SimCLR of numbers": {**renamed("f.", children=True), **beside("g.0.weight", "g.3.bias")},
    "fastai": {**renamed("0.", children=True), **beside("1.2.weight", "1.2.running_mean", "1.8.weight")},
    "plain": renamed(""),
    "Lightly's SimCLR": {**renamed("backbone.", children=True), **beside("projection_head.layers.0.weight")},
    "Lightly's MoCo": {
        **renamed("backbone.", children=True),
        **renamed("backbone_momentum.", children=True),
        **beside("projection_head.layers.0.weight", "projection_head_momentum.layers.0.weight"),
    },
    "Lightly's BYOL": {
        **renamed("backbone.", children=True),
        **renamed("backbone_momentum.", children=True),
        **beside("projection_head.layers.0.weight", "prediction_head.layers.0.weight",
                 "projection_head_momentum.layers.0.weight"),
    },
    "Lightly's DINO": {
        **renamed("student_backbone.", children=True),
        **renamed("teacher_backbone.", children=True),
        **beside("student_head.layers.0.weight", "teacher_head.layers.0.weight", "criterion.center"),
    },
    "Lightly's SwAV": {
        **renamed("backbone.", children=True),
        **beside("projection_head.layers.0.weight", "prototypes.heads.0.weight"),
    },
    "Lightly's Barlow Twins": {**renamed("backbone.", children=True), **beside("projection_head.layers.0.weight")},
}  # fmt: skip


def write(path, arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("method", PRETRAINED)
def test_a_self_supervised_file_is_a_trunk(method, tmp_path):
    path = write(tmp_path / "x.npz", PRETRAINED[method])
    _, meta, report = weights_convert.convert_arrays(path)
    assert (meta["model"], meta["arguments"]) == ("resnet18", {"n_class": 0}), report.to_text()
    assert len(report.mapped) == 100
    assert len(report.dropped) == len(PRETRAINED[method]) - 100
    assert not {
        why for why in report.dropped.values() if not any(word in why for word in ("pre-training", "head", "loss"))
    }


def test_of_two_networks_the_one_that_is_meant_is_taken(tmp_path):
    one = {name: np.ones_like(array) for name, array in renamed("").items()}
    for own, other in (("backbone.", "backbone_momentum."), ("teacher_backbone.", "student_backbone."),
                       ("base_encoder.", "momentum_encoder."), ("online_encoder.", "target_encoder.")):  # fmt: skip
        path = write(tmp_path / "x.npz", {**renamed(other), **renamed(own, one), **beside("projection_head.weight")})
        arrays, _, _ = weights_convert.convert_arrays(path)
        assert {array.max() for array in arrays.values()} == {1}


def test_a_self_supervised_file_is_the_trunk_of_a_detector(tmp_path):
    path = tmp_path / "x.ckpt"
    with open(path, "wb") as file:
        pickle.dump({"state_dict": PRETRAINED["Lightly's BYOL"]}, file, 2)
    link = models.retinanet_resnet_fpn(18, 1, fpn_channels=16, pretrained_backbone=path)
    assert float(abs(link.backbone.body.layer4[1].conv2.W.array).max()) == 0


@pytest.mark.parametrize(
    "names", [{"neck.0.weight"}, {"rpn.head.conv.weight", "roi_heads.box_head.fc6.weight"}, {"bbox_head.fc.weight"}]
)
def test_what_is_no_head_of_a_pretraining_is_not_left_out(names, tmp_path):
    path = write(tmp_path / "x.npz", {**renamed("backbone."), **beside(*names)})
    with pytest.raises(weights_convert.ConversionError):
        weights_convert.convert(path, tmp_path / "y.npz")


def test_parameter_by_parameter_nothing_is_left_out(tmp_path):
    for method, arrays in PRETRAINED.items():
        found, _, report = weights_convert.convert_arrays(write(tmp_path / "x.npz", arrays), model="any")
        assert (len(found), report.dropped) == (len(arrays), {}), method


def test_two_networks_of_which_none_follows_the_other_are_not_guessed(tmp_path):
    path = write(tmp_path / "x.npz", {**renamed("left."), **renamed("right."), **beside("head.weight")})
    with pytest.raises(weights_convert.ConversionError):
        weights_convert.convert(path, tmp_path / "y.npz")


def test_a_whole_detector_is_no_trunk_and_a_trunk_no_detector(tmp_path):
    shapes = {f"backbone.body.{name}": shape for name, shape in Trunk("basic", (2, 2, 2, 2)).shapes().items()}
    shapes |= detectors.fpn([64, 128, 256, 512], 32, False) | detectors.rpn(32, 3, 1)
    path = write(tmp_path / "whole.npz", zeros(shapes | detectors.box_head(32, 8, 3, False)))
    weights_convert.convert(path, tmp_path / "whole.pth")
    with pytest.raises(ValueError, match=r"whole\.pth: is of a whole detector, fasterrcnn_resnet_fpn, which"):
        models.fasterrcnn_resnet_fpn(18, 1, pretrained_backbone=tmp_path / "whole.pth")
    trunk = write(tmp_path / "trunk.npz", zeros(Trunk("basic", (2, 2, 2, 2)).shapes() | linear("fc", 512, 3)))
    with pytest.raises(weights_convert.CheckpointError, match="a trunk's weights, which pretrained_backbone takes"):
        weights_convert.convert(trunk, tmp_path / "x.npz", model="fasterrcnn_resnet_fpn")
