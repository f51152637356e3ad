"""Foreign layouts become torchvision's models: every name, every shape, and numbers where names are not enough."""

import functools
import pickle

import chainer
import numpy as np
import pytest

import weights_convert
from weights_convert import known_models, param_names, tensor_fixups
from weights_convert.architectures import candidates
from weights_convert.layouts import find_layout
from weights_convert.read.tensor import from_array
from weights_convert.report import Report
from weights_convert_tests.repeated import described

_BN = ("weight", "bias", "running_mean", "running_var")


def lead(shapes):
    """Return the layout, and the model its names are recognized as once they are torchvision's."""
    report = Report("file")
    layout = find_layout(shapes).under({})
    tensors = layout.apply(described(shapes), report)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    candidate = candidates(found)[0]
    return layout.name, candidate, candidate and candidate.compare(found), report


def bottlenecks(conv, norm, shortcut, blocks=(3, 4, 6, 3)):
    """Name every tensor of a bottleneck ResNet's stages; the three name a layer by stage, block and number."""
    shapes, n_in = {}, 64
    for stage, n_blocks in enumerate(blocks):
        width = 64 * 2**stage
        for i in range(n_blocks):
            sizes = {1: (width, n_in, 1, 1), 2: (width, width, 3, 3), 3: (4 * width, width, 1, 1)}
            for number, shape in sizes.items():
                shapes[conv(stage, i, number)] = shape
                shapes |= {norm(stage, i, number) + leaf: shape[:1] for leaf in _BN}
            if i == 0:
                shapes[shortcut(stage, 0)] = (4 * width, n_in, 1, 1)
                shapes |= {shortcut(stage, 1) + leaf: (4 * width,) for leaf in _BN}
            n_in = 4 * width
    return shapes


def layer(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def detectron2(n_class=80, mask=True):
    at = "backbone.bottom_up."
    shapes = bottlenecks(
        lambda s, i, n: f"{at}res{s + 2}.{i}.conv{n}.weight",
        lambda s, i, n: f"{at}res{s + 2}.{i}.conv{n}.norm.",
        lambda s, k: f"{at}res{s + 2}.0.shortcut." + ("norm." if k else "weight"),
    )
    shapes[f"{at}stem.conv1.weight"] = (64, 3, 7, 7)
    shapes |= {f"{at}stem.conv1.norm.{leaf}": (64,) for leaf in _BN}
    for i in range(2, 6):
        shapes |= layer(f"backbone.fpn_lateral{i}", 256, 64 * 2**i, 1, 1) | layer(
            f"backbone.fpn_output{i}", 256, 256, 3, 3
        )
    rpn = "proposal_generator.rpn_head."
    shapes |= layer(f"{rpn}conv", 256, 256, 3, 3) | layer(f"{rpn}objectness_logits", 3, 256, 1, 1)
    shapes |= layer(f"{rpn}anchor_deltas", 12, 256, 1, 1)
    shapes |= layer("roi_heads.box_head.fc1", 1024, 12544) | layer("roi_heads.box_head.fc2", 1024, 1024)
    shapes |= layer("roi_heads.box_predictor.cls_score", n_class + 1, 1024)
    shapes |= layer("roi_heads.box_predictor.bbox_pred", 4 * n_class, 1024)
    for i in range(1, 5) if mask else ():
        shapes |= layer(f"roi_heads.mask_head.mask_fcn{i}", 256, 256, 3, 3)
    if mask:
        shapes |= layer("roi_heads.mask_head.deconv", 256, 256, 2, 2)
        shapes |= layer("roi_heads.mask_head.predictor", n_class, 256, 1, 1)
    return shapes | {"pixel_mean": (3, 1, 1), "proposal_generator.anchor_generator.cell_anchors.0": (3, 4)}


def mmdetection(version, n_class=80):
    shapes = bottlenecks(
        lambda s, i, n: f"backbone.layer{s + 1}.{i}.conv{n}.weight",
        lambda s, i, n: f"backbone.layer{s + 1}.{i}.bn{n}.",
        lambda s, k: f"backbone.layer{s + 1}.0.downsample." + ("1." if k else "0.weight"),
    )
    shapes["backbone.conv1.weight"] = (64, 3, 7, 7)
    shapes |= {f"backbone.bn1.{leaf}": (64,) for leaf in _BN} | {"backbone.bn1.num_batches_tracked": ()}
    for i in range(4):
        shapes |= layer(f"neck.lateral_convs.{i}.conv", 256, 256 * 2**i, 1, 1)
        shapes |= layer(f"neck.fpn_convs.{i}.conv", 256, 256, 3, 3)
    shapes |= layer("rpn_head.rpn_conv", 256, 256, 3, 3) | layer("rpn_head.rpn_cls", 3, 256, 1, 1)
    shapes |= layer("rpn_head.rpn_reg", 12, 256, 1, 1)
    head = "bbox_head." if version == 1 else "roi_head.bbox_head."
    shapes |= layer(f"{head}shared_fcs.0", 1024, 12544) | layer(f"{head}shared_fcs.1", 1024, 1024)
    shapes |= layer(f"{head}fc_cls", n_class + 1, 1024)
    shapes |= layer(f"{head}fc_reg", 4 * (n_class + (version == 1)), 1024)
    return shapes | ({"data_preprocessor.mean": (3, 1, 1)} if version == 3 else {})


def mmdetection_retinanet(n_class=80, p6=2048):
    shapes = {name: shape for name, shape in mmdetection(3).items() if name.startswith("backbone.")}
    for i in range(3):
        shapes |= layer(f"neck.lateral_convs.{i}.conv", 256, 512 * 2**i, 1, 1)
        shapes |= layer(f"neck.fpn_convs.{i}.conv", 256, 256, 3, 3)
    shapes |= layer("neck.fpn_convs.3.conv", 256, p6, 3, 3) | layer("neck.fpn_convs.4.conv", 256, 256, 3, 3)
    for i in range(4):
        shapes |= layer(f"bbox_head.cls_convs.{i}.conv", 256, 256, 3, 3)
        shapes |= layer(f"bbox_head.reg_convs.{i}.conv", 256, 256, 3, 3)
    shapes |= layer("bbox_head.retina_cls", 9 * n_class, 256, 3, 3) | layer("bbox_head.retina_reg", 36, 256, 3, 3)
    return shapes


def kuangliu_fpn(shortcut, blocks):
    shapes = bottlenecks(
        lambda s, i, n: f"layer{s + 1}.{i}.conv{n}.weight",
        lambda s, i, n: f"layer{s + 1}.{i}.bn{n}.",
        lambda s, k: f"layer{s + 1}.0.{shortcut}." + ("1." if k else "0.weight"),
        blocks,
    )
    shapes |= {"conv1.weight": (64, 3, 7, 7)} | {f"bn1.{leaf}": (64,) for leaf in _BN}
    shapes |= layer("toplayer", 256, 2048, 1, 1)
    for i in (1, 2, 3):
        shapes |= layer(f"latlayer{i}", 256, 2048 >> i, 1, 1) | layer(f"smooth{i}", 256, 256, 3, 3)
    return shapes


def kuangliu_retinanet(n_class=20):
    trunk = kuangliu_fpn("downsample", (3, 4, 6, 3))
    shapes = {
        f"fpn.{name}": shape for name, shape in trunk.items() if not name.startswith(("smooth", "toplayer", "latlayer"))
    }
    shapes |= layer("fpn.conv6", 256, 2048, 3, 3) | layer("fpn.conv7", 256, 256, 3, 3)
    shapes |= layer("fpn.toplayer1", 256, 256, 3, 3) | layer("fpn.toplayer2", 256, 256, 3, 3)
    for i in (1, 2, 3):
        shapes |= layer(f"fpn.latlayer{i}", 256, 4096 >> i, 1, 1)
    for head, n_out in (("loc_head", 36), ("cls_head", 9 * n_class)):
        for i in range(0, 8, 2):
            shapes |= layer(f"{head}.{i}", 256, 256, 3, 3)
        shapes |= layer(f"{head}.8", n_out, 256, 3, 3)
    return shapes


CASES = {
    "detectron2 mask": (detectron2(), "detectron2", "maskrcnn_resnet50_fpn", {"n_fg_class": 80}),
    "detectron2 faster": (detectron2(3, mask=False), "detectron2", "fasterrcnn_resnet50_fpn", {"n_fg_class": 3}),
    "mmdetection 1": (mmdetection(1), "mmdetection 1.x", "fasterrcnn_resnet50_fpn", {"n_fg_class": 80}),
    "mmdetection 2": (mmdetection(2), "mmdetection", "fasterrcnn_resnet50_fpn", {"n_fg_class": 80}),
    "mmdetection 3": (mmdetection(3, 7), "mmdetection", "fasterrcnn_resnet50_fpn", {"n_fg_class": 7}),
    "mmdetection RetinaNet": (
        mmdetection_retinanet(),
        "mmdetection RetinaNet",
        "retinanet_resnet_fpn",
        {"n_fg_class": 79, "p6_from_trunk": True},  # the background, of which it has none, is settled later
    ),
    "mmdetection RetinaNet of outputs": (
        mmdetection_retinanet(7, p6=256),
        "mmdetection RetinaNet",
        "retinanet_resnet50_fpn",
        {"n_fg_class": 6},
    ),
    "kuangliu fpn": (kuangliu_fpn("shortcut", (3, 4, 6, 3)), "kuangliu/pytorch-fpn", "fpn50", {}),
    "kuangliu fpn101": (kuangliu_fpn("downsample", (2, 2, 2, 2)), "kuangliu/pytorch-fpn", "fpn101", {}),
    "kuangliu retina": (kuangliu_retinanet(), "kuangliu/pytorch-retinanet", "retinanet_kuangliu", {"n_fg_class": 20}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_name_and_shape_of_a_foreign_model_finds_its_place(case):
    shapes, layout, builder, arguments = CASES[case]
    name, candidate, differences, _ = lead(shapes)
    assert name == layout
    assert (candidate.builder, candidate.arguments) == (builder, arguments)
    assert differences == ([], [], {})


def test_an_unknown_name_of_a_known_layout_is_reported_and_not_guessed():
    _, _, (missing, unexpected, _), report = lead(detectron2() | {"roi_heads.new.weight": (3,)})
    assert (missing, unexpected) == ([], ["?roi_heads.new.weight"])
    assert report.dropped == {
        "pixel_mean": "input statistics, which the rules or --meta image_mean and image_std say",
        "proposal_generator.anchor_generator.cell_anchors.0": "anchors are computed, not loaded",
    }


def run_fixup(fixup, **arrays):
    report = Report("file")
    tensors = {name.replace("__", "."): from_array(np.asarray(a)) for name, a in arrays.items()}
    return {name: tensor.array() for name, tensor in fixup(tensors, report).items()}, report.notes


CLS, BOX, MASK = ("roi_heads__box_predictor__cls_score__bias", "roi_heads__box_predictor__bbox_pred__bias",
                  "roi_heads__mask_predictor__mask_fcn_logits__bias")  # fmt: skip


def test_the_background_moves_to_the_front():
    arrays, notes = run_fixup(tensor_fixups.background_first, **{CLS: np.float32([1, 2, 3, 0])})
    assert arrays["roi_heads.box_predictor.cls_score.bias"].tolist() == [0, 1, 2, 3]
    assert notes == ["background class moved from last to first"]


@pytest.mark.slow
def test_an_mmdetection_retinanet_becomes_a_detector(tmp_path):
    """Built from a file of zeros: P7 without ReLU, P6 from the trunk, and scores that the biases alone decide."""
    from chainfpn import models

    shapes = mmdetection_retinanet(2)
    arrays = {name: np.zeros(shape, "f2") for name, shape in shapes.items()}
    arrays["bbox_head.retina_cls.bias"][:] = np.tile([-3, -1], 9)  # labels from 0, nothing for a background
    path = tmp_path / "retinanet.pkl"
    with open(path, "wb") as f:
        pickle.dump({"state_dict": arrays}, f, 2)
    model = models.load(path)
    assert type(model).__name__ == "RetinaNet"
    assert not model.backbone.fpn.extra_blocks.relu
    assert not model.backbone.fpn.extra_blocks.use_p5
    assert model.anchor_generator.sizes[0] == (32, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3))
    model.preprocess.min_size = 64
    model.score_thresh = 0.1
    with chainer.using_config("train", False):
        assert model.preprocess.resized_size((64, 64)) == (64, 64)
    _, (label,), (score,) = model.predict([np.zeros((3, 64, 64), "f4")])
    assert set(label) == {1}
    np.testing.assert_allclose(score, 1 / (1 + np.exp(1)), rtol=1e-3)


def test_boxes_and_masks_get_rows_for_the_background():
    given = {CLS: np.zeros(3, "f4"), BOX: np.arange(1, 9, dtype="f4"), MASK: np.float32([5, 6])}
    arrays, notes = run_fixup(tensor_fixups.background_box_rows, **given)
    assert arrays["roi_heads.box_predictor.bbox_pred.bias"].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert arrays["roi_heads.mask_predictor.mask_fcn_logits.bias"].tolist() == [0, 5, 6]
    assert len(notes) == 2


def test_boxes_that_have_rows_for_the_background_are_left_alone():
    arrays, notes = run_fixup(
        tensor_fixups.background_box_rows, **{CLS: np.zeros(3, "f4"), BOX: np.arange(12, dtype="f4")}
    )
    assert arrays["roi_heads.box_predictor.bbox_pred.bias"].tolist() == list(range(12))
    assert notes == []


def test_the_axes_of_boxes_are_turned():
    arrays, _ = run_fixup(tensor_fixups.box_axes_xy, **{BOX: np.arange(8, dtype="f4")})
    assert arrays["roi_heads.box_predictor.bbox_pred.bias"].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


def test_a_caffe_stem_gives_the_same_on_torchvisions_input():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 2, 2))
    image = rng.integers(0, 256, (3, 2, 2)).astype("f8")  # RGB
    mean = np.array([123.675, 116.28, 103.53])[:, None, None]
    caffe = np.einsum("ocij,cij->o", weight, (image - mean)[::-1])
    arrays, notes = run_fixup(
        lambda t, r: tensor_fixups.fold_caffe_scale(tensor_fixups.flip_bgr(t, r), r), conv1__weight=weight
    )
    ours = (image / 255 - mean / 255) / np.array([0.229, 0.224, 0.225])[:, None, None]
    np.testing.assert_allclose(np.einsum("ocij,cij->o", arrays["conv1.weight"], ours), caffe, rtol=1e-12)
    assert len(notes) == 2


def test_the_bias_before_a_norm_goes_into_its_mean():
    given = {"conv1__weight": np.ones((2, 3, 1, 1), "f4"), "conv1__bias": np.float32([1, 2])}
    arrays, _ = run_fixup(tensor_fixups.stem_bias_into_norm, **given, bn1__running_mean=np.float32([5, 5]))
    assert arrays["bn1.running_mean"].tolist() == [4, 3]
    assert "conv1.bias" not in arrays


def test_the_files_torchvision_runs_with_eps_zero_are_known_by_their_hash():
    assert known_models.published_model("258fb6c6" + "0" * 56) == ("fasterrcnn_resnet50_fpn", {"norm_eps": 0.0})
    assert known_models.published_model("0" * 64) is None


WRITE_WRAPPED = """
net = torchvision.models.resnet18(num_classes=6).half()
state = net.state_dict()
outputs.update({k: v for k, v in state.items() if not k.startswith("fc.")})
def put(prefix, *more, drop_fc=True):
    result = {prefix + k: v for k, v in state.items() if not (drop_fc and k.startswith("fc."))}
    result.update({k: torch.ones(2, 2) for k in more})
    return result
def save(name, **value):
    torch.save(value, folder / name)
moco = ["module.encoder_q.fc.weight", "module.encoder_k.conv1.weight", "module.queue", "module.queue_ptr"]
save("MoCo", state_dict=put("module.encoder_q.", *moco), epoch=200, arch="resnet18")
moco = ["module.base_encoder.fc.0.weight", "module.momentum_encoder.fc.0.weight", "module.predictor.0.weight"]
save("MoCo v3", state_dict=put("module.base_encoder.", *moco))
dino = put("backbone.", "head.mlp.0.weight", "head.last_layer.weight_g")
save("DINO", student=put("module.backbone."), teacher=dino, epoch=1)
torch.save(put("module.", "module.projection_head.0.weight", "module.prototypes.weight"), folder / "SwAV")
save("Barlow Twins or VICReg", model=put("module.backbone.", "module.projector.0.weight", "module.bn.running_mean"))
save("timm", state_dict=put("", drop_fc=False), state_dict_ema=put("", drop_fc=False), arch="resnet18")
save("Lightning", state_dict=put("net.encoder."), callbacks={})
"""


@pytest.fixture(scope="module")
def wrapped(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrapped")
    return folder, torchvision_live.run(WRITE_WRAPPED, folder=folder)


@pytest.mark.parametrize("name", ["MoCo", "MoCo v3", "DINO", "SwAV", "Barlow Twins or VICReg", "timm", "Lightning"])
def test_trunks_from_pretraining_are_unwrapped(wrapped, name):
    folder, expected = wrapped
    arrays, meta, report = weights_convert.convert_arrays(folder / name, drop=["fc/*"] if name == "timm" else [])
    assert meta["model"] == "resnet18"
    assert report.layout == {"timm": "torchvision", "Lightning": "torchvision, in a module"}.get(name, name)
    assert len(arrays) == len(expected)
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, expected[param_names.to_torch(key)], strict=True)


def test_averaged_weights_are_preferred_and_the_others_can_be_asked_for(wrapped):
    assert weights_convert.inspect(wrapped[0] / "timm").entry == "state_dict_ema"
    assert weights_convert.inspect(wrapped[0] / "timm", entry="state_dict").entry == "state_dict"


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_detectron2_pickle_converts(protocol, tmp_path):
    rng = np.random.default_rng(0)
    shapes = detectron2(2, mask=False)
    arrays = {name: np.zeros(shape, "f2") for name, shape in shapes.items()}
    arrays["roi_heads.box_predictor.cls_score.bias"][:] = 1, 2, 9
    arrays["backbone.bottom_up.stem.conv1.weight"] = rng.standard_normal((64, 3, 7, 7)).astype("f4")
    path = tmp_path / "model_final.pkl"
    with open(path, "wb") as f:
        pickle.dump({"model": arrays, "__author__": "Detectron2 Model Zoo"}, f, protocol)
    converted, meta, report = weights_convert.convert_arrays(path)
    assert report.format == "pickle"
    assert meta["arguments"] == {"n_fg_class": 2, "rules": "detectron2"}
    assert converted["roi_heads/box_predictor/cls_score/b"].tolist() == [9, 1, 2]
    assert converted["roi_heads/box_predictor/bbox_pred/W"].shape == (12, 1024)
    stem = arrays["backbone.bottom_up.stem.conv1.weight"]
    np.testing.assert_array_equal(converted["backbone/body/conv1/W"], stem)
    converted, meta, _ = weights_convert.convert_arrays(path, meta={"rules": "torchvision"})
    assert meta["arguments"] == {"n_fg_class": 2, "rules": "torchvision", "stride_in_1x1": True}
    stem = stem[:, ::-1] * (255 * np.float64([0.229, 0.224, 0.225])[:, None, None])
    np.testing.assert_allclose(converted["backbone/body/conv1/W"], stem, rtol=1e-6)


@pytest.mark.slow
def test_a_chainercv_resnet_gives_the_same_scores_in_our_link(tmp_path):
    import chainer.functions as F
    from chainercv.links import ResNet50

    from chainfpn.links.batch_normalization import BatchNormalization
    from chainfpn.models import resnet50

    theirs = ResNet50(n_class=10, arch="he")
    theirs.pool1 = functools.partial(F.max_pooling_2d, ksize=3, stride=2, pad=1, cover_all=False)
    theirs.pick = "fc6"
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype("f4")
    with chainer.using_config("train", True):
        theirs(x)  # sets the shapes, and running statistics that are not the initial ones
    theirs.conv1.conv.b.array[:] = np.linspace(-1, 1, 64)
    chainer.serializers.save_npz(tmp_path / "chainercv.npz", theirs)
    report = weights_convert.convert(tmp_path / "chainercv.npz", tmp_path / "ours.npz")
    assert (report.layout, report.model) == ("ChainerCV ResNet", "resnet50")
    ours = resnet50(pretrained_model=tmp_path / "ours.npz", norm=functools.partial(BatchNormalization, eps=2e-5))
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        np.testing.assert_allclose(ours(x).array, theirs(x).array, rtol=1e-3, atol=1e-4)


def test_a_chainercv_detector_finds_every_place():
    shapes = bottlenecks(
        lambda s, i, n: f"extractor/base/res{s + 2}/{f'b{i}' if i else 'a'}/conv{n}/conv/W",
        lambda s, i, n: f"extractor/base/res{s + 2}/{f'b{i}' if i else 'a'}/conv{n}/bn/",
        lambda s, k: f"extractor/base/res{s + 2}/a/residual_conv/" + ("bn/" if k else "conv/W"),
    )
    leaves = {"weight": "gamma", "bias": "beta", "running_mean": "avg_mean", "running_var": "avg_var"}
    shapes = {_last(name, leaves): shape for name, shape in shapes.items()}
    shapes |= {"extractor/base/conv1/conv/W": (64, 3, 7, 7), "extractor/base/conv1/conv/b": (64,)}
    shapes |= {f"extractor/base/conv1/bn/{leaf}": (64,) for leaf in leaves.values()}
    heads = {"rpn/conv": (256, 256, 3, 3), "rpn/conf": (3, 256, 1, 1), "rpn/loc": (12, 256, 1, 1)}
    heads |= {"bbox_head/fc1": (1024, 12544), "bbox_head/fc2": (1024, 1024), "bbox_head/conf": (81, 1024)}
    heads |= {"bbox_head/loc": (324, 1024), "mask_head/conv5": (256, 256, 2, 2), "mask_head/seg": (81, 256, 1, 1)}
    for i in range(4):
        heads |= {f"extractor/inner/{i}": (256, 256 * 2**i, 1, 1), f"extractor/outer/{i}": (256, 256, 3, 3)}
        heads |= {f"mask_head/conv{i + 1}/conv": (256, 256, 3, 3)}
    shapes |= {f"{n}/W": shape for n, shape in heads.items()} | {f"{n}/b": shape[:1] for n, shape in heads.items()}
    layout, candidate, differences, report = lead(shapes)
    assert layout == "ChainerCV FPN"
    assert candidate.builder == "maskrcnn_resnet50_fpn"
    assert candidate.arguments == {"n_fg_class": 80}
    assert differences == ([], [], {})
    assert any("dx, dy, dw, dh" in note for note in report.notes)


def _last(name, leaves):
    path, _, leaf = name.rpartition("/")
    return f"{path}/{leaves.get(leaf, leaf)}"
