"""The model is found as a person would find it: the best of several state dicts, behind any prefix, without strays."""

import json
import pickle

import numpy as np
import pytest

import weights_convert
from weights_convert.__main__ import main
from weights_convert.architectures import detectors, networks
from weights_convert.architectures.resnet import Trunk
from weights_convert.architectures.shapes import linear


def resnet18(n_class=5, value=0.0, prefix=""):
    """Return a ResNet-18 of one value, as arrays by torch's names."""
    shapes = Trunk("basic", (2, 2, 2, 2)).shapes() | linear("fc", 512, n_class)
    return {f"{prefix}{name}": np.full(shape, value, "f2") for name, shape in shapes.items()}


def faster_rcnn_shapes():
    """Return the shapes of a small Faster R-CNN."""
    shapes = {f"backbone.body.{name}": shape for name, shape in Trunk("basic", (2, 2, 2, 2)).shapes().items()}
    shapes |= detectors.fpn([64, 128, 256, 512], 32, False) | detectors.rpn(32, 3, 1)
    return shapes | detectors.box_head(32, 8, 3, False)


@pytest.fixture
def save(tmp_path):
    """Return a function that writes a pickle and converts it."""

    def save(tree, **options):
        with open(tmp_path / "model.pkl", "wb") as f:
            pickle.dump(tree, f, 4)
        return weights_convert.convert_arrays(tmp_path / "model.pkl", **options)

    return save


COUNTER, SCALES = np.array(3), np.ones(3, "f4")


@pytest.mark.parametrize(
    ("tree", "entry", "dropped"),
    [
        (lambda r: {"model": r(), "model_ema": {"n_averaged": COUNTER, **r(value=1, prefix="module.")}}, "model_ema",
         {"n_averaged": "a counter, not of the model"}),
        (lambda r: {"n_averaged": COUNTER, **r(value=1, prefix="module.")}, "",
         {"n_averaged": "a counter, not of the model"}),
        (lambda r: (r(value=1), 3), "0", {}),
        (lambda r: [{"epoch": 3}, {"net": r(value=1)}], "1/net", {}),
        (lambda r: {"state_dict": {"loss.weight": SCALES, "val_acc.total": COUNTER, **r(value=1, prefix="model.")}},
         "state_dict", {"loss.weight": "of a loss or a metric, not of the model",
                        "val_acc.total": "of a loss or a metric, not of the model"}),
        (lambda r: {**r(value=1, prefix="net.encoder."), "net.projector.weight": SCALES}, "",
         {"projector.weight": "head of the pre-training, no classes in it"}),
        (lambda r: {**r(value=1), **{f"ema_{k.replace('.', '_')}": v for k, v in r().items()}}, "", None),
        (lambda r: {"state_dict": {"odd.weight": SCALES}, "backup": r(value=1), "optimizer": {"m": r()}}, "backup", {}),
        (lambda r: {"a": {"x.weight": SCALES, "y.weight": SCALES}, "b": r(value=1)}, "b", {}),
    ],
)  # fmt: skip
def test_the_model_is_found(save, tree, entry, dropped):
    arrays, meta, report = save(tree(resnet18))
    assert (meta["model"], meta["arguments"], report.entry) == ("resnet18", {"n_class": 5}, entry)
    assert len(arrays) == 102
    assert {float(array.flat[0]) for array in arrays.values()} == {1.0}
    if dropped is None:
        assert set(report.dropped.values()) == {"averaged, of another tensor (mmcv), not of the model"}
        assert len(report.dropped) == 102
    else:
        assert report.dropped == dropped


@pytest.mark.parametrize("prefix", ["backbone.", "model.backbone.", "backbone.encoder.", "encoder.backbone.net."])
def test_a_backbone_without_a_detector_is_a_prefix(save, prefix):
    head = {"classifier.weight": SCALES, "head.bias": SCALES}
    for name in ("squeezenet1_1", "regnet_y_400mf"):
        arrays = {f"{prefix}{key}": np.zeros(shape, "f2") for key, shape in networks.features_of(name).items()}
        found, meta, report = save(arrays | head)
        assert (meta["model"], meta["arguments"]) == (name, {"n_class": 0})
        assert (len(found), set(report.dropped)) == (len(arrays), set(head))


@pytest.mark.parametrize(
    "other", ["transformer.weight", "decode_head.weight", "roi_heads.fc.bias", "head.box_head.bias"]
)
def test_a_backbone_beside_what_is_no_head_is_not_guessed(save, other):
    arrays = {f"backbone.{name}": np.zeros(shape, "f2") for name, shape in networks.features_of("vgg11").items()}
    with pytest.raises(weights_convert.ConversionError):
        save(arrays | {other: SCALES})


def test_a_backbone_of_a_detector_is_none(save):
    tree = {f"model.{name}": np.zeros(shape, "f2") for name, shape in faster_rcnn_shapes().items()}
    arrays, meta, _ = save(tree)
    assert (meta["model"], len(arrays)) == ("fasterrcnn_resnet_fpn", len(tree))
    pyramid = {name: array for name, array in tree.items() if name.startswith("model.backbone.")}
    _, meta, _ = save(pyramid)
    assert meta["model"] == "resnet_fpn_backbone"
    arrays, _, _ = save(pyramid, model="any")
    assert all(name.startswith("backbone/") for name in arrays)


def test_the_report_says_which_others_there_were(save):
    _, _, report = save({"model": resnet18(), "teacher": resnet18(), "epoch": 1})
    assert report.entry == "model"
    assert "other state dicts in the file: teacher" in report.notes
    arrays, _, report = save({"runs": [resnet18(), resnet18(value=2)]}, entry="runs/1")
    assert report.entry == "runs/1"
    assert arrays["fc/b"].tolist() == [2] * 5


def test_what_fits_no_model_is_not_chosen(save):
    odd = {"x.weight": SCALES, "y.weight": SCALES}
    with pytest.raises(
        weights_convert.CheckpointError, match=r"several sets of tensors \(netG, netD\); say which with --entry"
    ):
        save({"netG": odd, "netD": dict(odd)})


def write_shards(folder, arrays):
    """Write two shards and their index."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    names, files = list(arrays), [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    weight_map = {name: files[i > 40] for i, name in enumerate(names)}
    for file in files:
        save_file({name: arrays[name] for name in names if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


def test_shards_are_read_by_their_index(tmp_path):
    arrays = resnet18(value=1)
    weight_map = write_shards(tmp_path, arrays)
    index = tmp_path / "model.safetensors.index.json"
    found, meta, report = weights_convert.convert_arrays(index)
    assert (meta["model"], report.format, len(found)) == ("resnet18", "2 shards, safetensors", 102)
    assert {float(array.flat[0]) for array in found.values()} == {1.0}
    assert main([str(index)]) == 0
    assert (tmp_path / "model.npz").exists()
    shard = tmp_path / weight_map["conv1.weight"]
    with pytest.raises(weights_convert.ConversionError) as error:
        weights_convert.convert_arrays(shard)
    assert "shard 1 of 2: the .index.json beside it is the whole checkpoint" in error.value.report.notes


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("{", "the index is not JSON"),
        ("[]", "the index has no weight_map of names to files"),
        ('{"weight_map": {}}', "the index has no weight_map of names to files"),
        ('{"weight_map": {"a": "\\u0000.safetensors"}}', "names shards that are no files beside it"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "names shards that are no files beside it"),
        ('{"weight_map": {"a": "x.index.json"}}', "names shards that are no files beside it"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors: cannot be read: No such file or directory"),
        ('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', "a is not in model-00001-of-00002.safetensors"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path, index, sentence):
    write_shards(tmp_path, {"conv1.weight": SCALES})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(index)
    with pytest.raises(weights_convert.CheckpointError, match=sentence):
        weights_convert.read_checkpoint(path)


def test_an_optimizer_alone_is_called_one(save):
    with pytest.raises(weights_convert.CheckpointError, match="holds the state of an optimizer"):
        save({"state": {0: {"exp_avg": SCALES}, 1: {"exp_avg": SCALES}}, "param_groups": [{"lr": 0.1}]})


@pytest.mark.parametrize("options", [{}, {"allow_missing": ["fc/*"]}, {"model": "resnet18"}])
def test_a_trunk_needs_no_flags(save, options):
    trunk = {name: array for name, array in resnet18().items() if not name.startswith("fc.")}
    arrays, meta, _ = save(trunk, **options)
    assert (meta["model"], meta["arguments"], len(arrays)) == ("resnet18", {"n_class": 0}, 100)


def test_a_missing_part_says_how_to_do_without(save):
    shapes = faster_rcnn_shapes()
    present = {name: np.zeros(shape, "f2") for name, shape in shapes.items() if not name.startswith("rpn.")}
    with pytest.raises(weights_convert.ConversionError, match=r"_fpn; --allow-missing 'rpn/\*' converts it without\n"):
        save(present)
    arrays, _, report = save(present, allow_missing=["rpn/*"])
    assert len(arrays) == len(present)
    assert len(report.allowed) == 6


def test_leaf_by_leaf_nothing_is_left_out(save):
    tree = {"n_averaged": COUNTER, "loss.weight": SCALES, "module.x.weight": SCALES}
    arrays, _, report = save(tree, model="any")
    assert set(arrays) == {"n_averaged", "loss/gamma", "module/x/gamma"}
    assert report.dropped == {}


@pytest.mark.parametrize(
    ("tree", "options"),
    [
        (lambda r: r(value=1, prefix="my_"), {"rename": ["my_="]}),
        (lambda r: {**r(value=1), "prototypes.weight": SCALES}, {"drop": ["prototypes.*"]}),
        (lambda r: {**r(value=1), "prototypes.weight": SCALES}, {"drop": ["prototypes/gamma"]}),
        (lambda r: {**r(value=1), "encoder_q.conv1.weight": SCALES}, {"drop": ["encoder_q/*"]}),
        (lambda r: {**r(value=1), **{f"x.module.{n}.weight": SCALES for n in range(200)}}, {"drop": ["x.module.*"]}),
        (lambda r: {**r(value=1), "layer1.0.conv1.gamma": SCALES}, {"drop": ["layer1.0.conv1.gamma"]}),
        (lambda r: {f"module.{n}": a for n, a in {**r(value=1), "head.weight": SCALES}.items()}, {"drop": ["head/*"]}),
        (lambda r: {n.replace("conv1", "first"): a for n, a in r(value=1).items()}, {"rename": ["first/=conv1/", *(
            f"layer{stage}.{block}.first=layer{stage}.{block}.conv1" for stage in (1, 2, 3, 4) for block in (0, 1))]}),
        (lambda r: {n.replace("layer", "stage"): a for n, a in r(value=1).items()}, {"rename": ["stage=layer"]}),
    ],
)  # fmt: skip
def test_what_is_renamed_or_left_out_is_so_before_the_model_is_looked_for(save, tree, options):
    arrays, meta, report = save(tree(resnet18), **options)
    assert (meta["model"], report.layout, len(arrays)) == ("resnet18", "torchvision", 102)
    assert {float(array.flat[0]) for array in arrays.values()} == {1.0}


def test_what_is_left_out_still_tells_the_model(save):
    _, meta, report = save(resnet18(), drop=["layer1/*"])
    assert (meta["model"], len(report.allowed)) == ("resnet18", 20)
    _, meta, report = save(resnet18(), drop=["layer4/*"])
    assert meta["arguments"] == {"n_class": 0, "n_stages": 3}
    assert report.dropped["fc/W"] == "of another head than that of resnet18"


def test_a_better_fit_is_taken_beside_what_is_refused(save):
    tree = {"model": {"x.weight": SCALES, "y.weight": SCALES}, "backup": resnet18(value=1), "optimizer": eval}
    _, meta, report = save(tree)
    assert (meta["model"], report.entry) == ("resnet18", "backup")
    assert "left out: optimizer (names builtins.eval)" in report.notes
    with pytest.raises(weights_convert.CheckpointError, match=r"builtins\.eval, which has no place in a checkpoint"):
        save({"model": {"x.weight": SCALES, "f": eval}, "backup": resnet18()})
