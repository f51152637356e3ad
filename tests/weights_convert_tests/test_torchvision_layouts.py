"""torchvision's models of the ResNet family: recognized, converted, the same names in our links, and taken back."""

import hashlib

import numpy as np
import pytest

import weights_convert
from reference.arrays import assert_same_arrays, saved
from reference.detector_cases import HERE
from weights_convert import api, param_names
from weights_convert_tests import repeated

#: Name -> (how torchvision makes it, the builder it must be recognized as, its arguments).
MODELS = {
    "resnet18": ("resnet18(num_classes=7)", "resnet18", {"n_class": 7}),
    "resnet34": ("resnet34()", "resnet34", {"n_class": 1000}),
    "resnet50": ("resnet50()", "resnet50", {"n_class": 1000}),
    "resnet101": ("resnet101()", "resnet101", {"n_class": 1000}),
    "resnet152": ("resnet152()", "resnet152", {"n_class": 1000}),
    "resnext50": ("resnext50_32x4d()", "resnext50_32x4d", {"n_class": 1000}),
    "resnext101": ("resnext101_32x8d()", "resnext101_32x8d", {"n_class": 1000}),
    "wide50": ("wide_resnet50_2()", "wide_resnet50_2", {"n_class": 1000}),
    "wide101": ("wide_resnet101_2()", "wide_resnet101_2", {"n_class": 1000}),
    "mobilenet": ("mobilenet_v2(num_classes=9)", "mobilenet_v2", {"n_class": 9}),
    "vgg": ("vgg11_bn(num_classes=9)", "vgg11_bn", {"n_class": 9}),
    "densenet": ("densenet121(num_classes=9)", "densenet121", {"n_class": 9}),
    "squeezenet": ("squeezenet1_1(num_classes=9)", "squeezenet1_1", {"n_class": 9}),
    "efficientnet": ("efficientnet_b0(num_classes=9)", "efficientnet_b0", {"n_class": 9}),
    "efficientnet_v2": ("efficientnet_v2_s(num_classes=9)", "efficientnet_v2_s", {"n_class": 9}),
    "regnet": ("regnet_y_400mf(num_classes=9)", "regnet_y_400mf", {"n_class": 9}),
    "convnext": ("convnext_tiny(num_classes=9)", "convnext_tiny", {"n_class": 9}),
    "swin": ("swin_t(num_classes=9)", "swin_t", {"n_class": 9}),
    "swin_v2": ("swin_v2_t(num_classes=9)", "swin_v2_t", {"n_class": 9}),
    "faster": (
        "detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)",
        "fasterrcnn_resnet50_fpn",
        {"n_fg_class": 3},
    ),
    "mask": (
        "detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)",
        "maskrcnn_resnet50_fpn",
        {"n_fg_class": 2},
    ),
    "keypoint": (
        "detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)",
        "keypointrcnn_resnet50_fpn",
        {"n_fg_class": 1},
    ),
    "retina": (
        "detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=21)",
        "retinanet_resnet50_fpn",
        {"n_fg_class": 20},
    ),
    "fcos": (
        "detection.fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=21)",
        "fcos_resnet50_fpn",
        {"n_fg_class": 20},
    ),
    "faster_v2": (
        "detection.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=5)",
        "fasterrcnn_resnet50_fpn_v2",
        {"n_fg_class": 4},
    ),
    "mask_v2": (
        "detection.maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=5)",
        "maskrcnn_resnet50_fpn_v2",
        {"n_fg_class": 4},
    ),
    "retina_v2": (
        "detection.retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=5)",
        "retinanet_resnet50_fpn_v2",
        {"n_fg_class": 4},
    ),
    "retina_p6_from_c5": (
        "detection.RetinaNet(models.detection.backbone_utils.resnet_fpn_backbone(backbone_name='resnet50', "
        "weights=None, returned_layers=[2, 3, 4], "
        "extra_blocks=torchvision.ops.feature_pyramid_network.LastLevelP6P7(2048, 256)), 5)",
        "retinanet_resnet_fpn",
        {"n_fg_class": 4, "p6_from_trunk": True},
    ),
    "mobile": (
        "detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, num_classes=5)",
        "fasterrcnn_mobilenet_v3_large_fpn",
        {"n_fg_class": 4},
    ),
    "ssd": (
        "detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=5)",
        "ssd300_vgg16",
        {"n_fg_class": 4},
    ),
    "ssdlite": (
        "detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)",
        "ssdlite320_mobilenet_v3_large",
        {"n_fg_class": 4},
    ),
}

#: Only the names and shapes of these are written, for speed: each tensor repeats one zero by a stride of 0.
WRITE_SHAPES = """
import torchvision.models as models
sys.path.insert(0, REFERENCE)
from seeded_weights import skip_initial_values
skip_initial_values()
for key, make in MODELS.items():
    net = eval("models." + make)
    zero = torch.zeros(())
    torch.save({k: zero.to(v.dtype).expand(v.shape) for k, v in net.state_dict().items()}, folder / (key + ".pth"))
"""


@pytest.fixture(scope="module")
def shapes_folder(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    makes = {key: make for key, (make, _, _) in MODELS.items()}
    torchvision_live.run(f"MODELS, REFERENCE = {makes!r}, {str(HERE)!r}\n" + WRITE_SHAPES, folder=folder)
    with repeated.allowed():
        yield folder


@pytest.mark.parametrize("name", MODELS)
def test_each_model_is_recognized_by_every_tensor(name, shapes_folder):
    _, builder, arguments = MODELS[name]
    report = weights_convert.inspect(shapes_folder / f"{name}.pth")
    assert report.fits, report.to_text()
    assert (report.model, report.arguments) == (builder, arguments)


@pytest.mark.parametrize(
    "name", sorted(set(MODELS) - {"resnet101", "resnet152", "resnext101", "wide50", "wide101", "vgg"})
)
def test_each_link_has_the_names_the_converter_expects(name, shapes_folder):
    from chainfpn import models

    report = weights_convert.inspect(shapes_folder / f"{name}.pth")
    if not hasattr(models, report.model):
        pytest.skip(f"chainfpn.models has no {report.model}")
    link = getattr(models, report.model)(**report.arguments)
    ours = {key: np.shape(value) for key, value in saved(link).items() if not key.endswith("/N")}
    file = {key: tuple(shape) for key, (_, shape, _) in report.mapped.items() if not key.endswith("/N")}
    assert file == ours


def test_the_twin_of_a_detector_is_told_by_its_hash_its_own_file_or_the_user(shapes_folder, tmp_path, monkeypatch):
    first, second = "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"
    path = shapes_folder / "mobile.pth"
    report = weights_convert.inspect(path)
    assert (report.model, report.ambiguous_with) == (first, [second])
    assert f"or          {second}: the same tensors, --model tells" in report.to_text()
    assert weights_convert.inspect(path, model=second).model == second
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(api, "published_model", lambda digest: (second, {}) if digest == sha256 else None)
    report = weights_convert.convert(path, tmp_path / "net.npz")
    assert (report.model, report.ambiguous_with) == (second, [first])
    assert weights_convert.convert_arrays(tmp_path / "net.npz")[1]["model"] == second
    assert weights_convert.convert_arrays(path, model=first)[1]["model"] == first


WRITE_REAL = """
g = torch.Generator().manual_seed(0)
net = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
for p in net.state_dict().values():
    if p.dtype.is_floating_point:
        p.copy_(torch.rand(p.shape, generator=g))
state = net.state_dict()
torch.save(state, folder / "new.pth")
import re
old = type(state)()
for key, value in state.items():
    key = re.sub(r"(fpn\\.\\w+_blocks\\.\\d)\\.0\\.", r"\\1.", key).replace("rpn.head.conv.0.0.", "rpn.head.conv.")
    old[key] = value
torch.save(old, folder / "old.pth", _use_new_zipfile_serialization=False)
small = torchvision.models.resnet18(num_classes=5)
torch.save(torch.nn.DataParallel(small).state_dict(), folder / "ddp.pth")
outputs.update({"small." + k: v for k, v in small.state_dict().items()})
"""


@pytest.fixture(scope="module")
def real(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    return folder, torchvision_live.run(WRITE_REAL, folder=folder)


def test_both_spellings_and_serializations_give_the_same_npz(real):
    folder, _ = real
    new = weights_convert.convert(folder / "new.pth", folder / "new.npz")
    old = weights_convert.convert(folder / "old.pth", folder / "old.npz")
    assert new.model == old.model == "fasterrcnn_resnet50_fpn"
    assert new.arguments["n_fg_class"] == 80
    assert len(new.arguments["class_ids"]) == 80
    with np.load(folder / "new.npz") as a, np.load(folder / "old.npz") as b:
        assert a.files == b.files
        for name in a.files:
            if name != "__meta__":
                np.testing.assert_array_equal(a[name], b[name], strict=True)


WRITE_DENSENET = """
import re, types
from torchvision.models.densenet import _load_state_dict, densenet121
state = densenet121(num_classes=3).state_dict()
torch.save(state, folder / "new.pth")
published = {
    re.sub(r"(denselayer\\d+\\.(?:norm|conv))([12])", r"\\1.\\2", key): value
    for key, value in state.items()
    if not key.endswith("num_batches_tracked")  # which came later
}
torch.save(published, folder / "published.pth")
outputs["key"] = np.array(next(key for key in published if "norm.1" in key))
_load_state_dict(  # what torchvision does with its file, strictly
    densenet121(num_classes=3), types.SimpleNamespace(get_state_dict=lambda progress: dict(published)), progress=False
)
"""


def test_a_densenet_as_it_is_published_is_the_same(torchvision_live, tmp_path):
    from chainfpn import models, save_weights

    key = torchvision_live.run(WRITE_DENSENET, folder=tmp_path)["key"]
    assert key == "features.denseblock1.denselayer1.norm.1.weight"
    new = weights_convert.convert(tmp_path / "new.pth", tmp_path / "new.npz")
    published = weights_convert.convert(tmp_path / "published.pth", tmp_path / "published.npz")
    assert new.model == published.model == "densenet121"
    save_weights(tmp_path / "link.npz", models.densenet121(pretrained_model=tmp_path / "published.pth"))
    with (
        np.load(tmp_path / "new.npz") as a,
        np.load(tmp_path / "published.npz") as b,
        np.load(tmp_path / "link.npz") as c,
    ):
        names = {name for name in a.files if name != "__meta__" and not name.endswith("/N")}
        assert "features/denseblock1/denselayer1/norm1/gamma" in names
        assert names == set(b.files) - {"__meta__"}
        for name in names:
            np.testing.assert_array_equal(b[name], a[name], strict=True)
            np.testing.assert_array_equal(c[name], a[name], strict=True)


def test_values_are_bit_identical_under_the_names_of_chainer(real):
    folder, _ = real
    source = weights_convert.read_checkpoint(folder / "old.pth")
    arrays, meta, report = weights_convert.convert_arrays(folder / "old.pth")
    assert len(arrays) == len(source)
    assert sum(not name.endswith("/N") for name in arrays) == 295
    for name, array in arrays.items():
        original = source[report.mapped[name][0]]
        assert array.dtype == original.dtype
        assert array.tobytes() == original.tobytes()
    assert "backbone/body/layer1/0/downsample/1/avg_var" in arrays
    assert "rpn/head/conv/W" in arrays
    assert "backbone/fpn/inner_blocks/3/b" in arrays
    assert meta["label_names"] == "coco"
    assert meta["source"]["file"] == "old.pth"


LOAD_BACK = """
net = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
state = torch.load(folder / "back.pth", weights_only=True)
net.load_state_dict(state, strict=True)
want = torch.load(folder / "new.pth")
outputs["equal"] = all(torch.equal(v, want[k]) and v.dtype == want[k].dtype for k, v in net.state_dict().items())
small = torchvision.models.resnet18(num_classes=5)
small.load_state_dict(torch.load(folder / "small_back.pth", weights_only=True), strict=True)
outputs.update({"small." + k: v for k, v in small.state_dict().items()})
"""


def test_torchvision_takes_it_back_strictly_and_the_round_trip_is_bit_identical(real, torchvision_live):
    folder, expected = real
    weights_convert.convert(folder / "new.pth", folder / "there.npz")
    report = weights_convert.convert(folder / "there.npz", folder / "back.pth")
    assert report.model == "fasterrcnn_resnet50_fpn"
    weights_convert.convert(folder / "ddp.pth", folder / "small.npz")
    weights_convert.convert(folder / "small.npz", folder / "small_back.pth")
    outputs = torchvision_live.run(LOAD_BACK, folder=folder)
    assert outputs.pop("equal")
    assert_same_arrays(outputs, expected)
    weights_convert.convert(folder / "back.pth", folder / "again.npz")
    with np.load(folder / "there.npz") as a, np.load(folder / "again.npz") as b:
        assert sorted(a.files) == sorted(b.files)
        assert all(a[n].tobytes() == b[n].tobytes() for n in a.files if n != "__meta__")


@pytest.mark.parametrize(
    "name", ["conv1.weight", "bn1.running_var", "bn1.num_batches_tracked", "fc.bias", "layer1.0.bn2.bias"]
)
def test_the_leaf_rule_reads_backwards(name):
    ndims = {"conv1.weight": 4, "bn1.weight": 1, "bn1.running_var": 1, "bn1.num_batches_tracked": 0}
    ndims |= {"fc.weight": 2, "fc.bias": 1, "layer1.0.bn2.weight": 1, "layer1.0.bn2.bias": 1}
    assert param_names.to_torch(param_names.to_chainer(ndims)[name]) == name


TAKE_TUNED = """
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops.misc import FrozenBatchNorm2d
body = torchvision.models.resnet18(norm_layer=FrozenBatchNorm2d)
layers = {f"layer{i}": str(i - 1) for i in range(1, 5)}
backbone = BackboneWithFPN(body, layers, [64, 128, 256, 512], 64)
head, predictor = TwoMLPHead(64 * 49, 128), FastRCNNPredictor(128, 3)
pool = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
net = FasterRCNN(backbone, box_roi_pool=pool, box_head=head, box_predictor=predictor)
net.load_state_dict(torch.load(folder / "tuned.pth", weights_only=True), strict=True)
outputs["W"] = net.backbone.fpn.inner_blocks[1][0].weight
"""


def test_a_detector_saved_by_chainer_goes_to_torchvision(torchvision_live, tmp_path):
    from chainer import serializers

    from chainfpn.models import fasterrcnn_resnet_fpn

    link = fasterrcnn_resnet_fpn(18, n_fg_class=2, fpn_channels=64, head_channels=128)
    serializers.save_npz(tmp_path / "tuned.npz", link)
    report = weights_convert.convert(tmp_path / "tuned.npz", tmp_path / "tuned.pth")
    assert report.model == "fasterrcnn_resnet_fpn"
    outputs = torchvision_live.run(TAKE_TUNED, folder=tmp_path)
    with np.load(tmp_path / "tuned.npz") as npz:
        np.testing.assert_array_equal(outputs["W"], npz["backbone/fpn/inner_blocks/1/W"], strict=True)


TAKE_BACK = """
for name in ("ssd300_vgg16", "fasterrcnn_mobilenet_v3_large_fpn"):
    make = getattr(torchvision.models.detection, name)
    net = make(weights=None, weights_backbone=None, num_classes=3)
    net.load_state_dict(torch.load(folder / f"{name}.pth", weights_only=True), strict=True)
    outputs[name] = next(p for p in net.parameters() if p.ndim == 4)
"""


def test_ssd_and_mobilenet_go_back_to_torchvision(torchvision_live, tmp_path):
    from chainfpn import models, save_weights

    names = ("ssd300_vgg16", "fasterrcnn_mobilenet_v3_large_fpn")
    for name in names:
        save_weights(tmp_path / f"{name}.npz", getattr(models, name)(2))
        assert weights_convert.convert(tmp_path / f"{name}.npz", tmp_path / f"{name}.pth").model == name
        assert models.load(tmp_path / f"{name}.pth").n_fg_class == 2
    outputs = torchvision_live.run(TAKE_BACK, folder=tmp_path)
    for name, first in zip(names, ("features/0/W", "body/0/0/W"), strict=True):
        with np.load(tmp_path / f"{name}.npz") as npz:
            np.testing.assert_array_equal(outputs[name], npz[f"backbone/{first}"], strict=True)
