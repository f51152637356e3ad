"""The command: what it prints, what it returns, what it leaves behind."""

import json

import numpy as np
import pytest

import weights_convert
from weights_convert import check, param_names
from weights_convert.__main__ import main, make_parser
from weights_convert.architectures.resnet import Trunk
from weights_convert.architectures.shapes import linear
from weights_convert.write import write_checkpoint


def write_resnet18(path, *, n_class=3, without=(), more=None, dtype="float32"):
    """Write a small real checkpoint: a ResNet-18 of random values, in torch's names."""
    shapes = Trunk("basic", (2, 2, 2, 2)).shapes() | linear("fc", 512, n_class) | (more or {})
    shapes = {name: shape for name, shape in shapes.items() if name not in without}
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    chainer_names = param_names.to_chainer({name: len(shape) for name, shape in shapes.items()})
    named = {chainer_names[name]: array for name, array in arrays.items()}
    mapped = {name: [name, array.shape, array.dtype.name] for name, array in named.items()}
    write_checkpoint(path, mapped, named.__getitem__, dict, to="pth")
    return arrays


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "net.pth"
    return path, write_resnet18(path, more={"bn1.num_batches_tracked": ()})


def test_converting_prints_a_report_and_writes_beside_the_source(checkpoint, tmp_path, capsys):
    path, arrays = checkpoint
    assert main([str(path), str(tmp_path / "net.npz"), "--meta", "n_class=3"]) == 0
    text = capsys.readouterr().out
    assert "resnet18(n_class=3)" in text
    assert "mapped      103 tensors" in text
    with np.load(tmp_path / "net.npz", allow_pickle=False) as npz:
        assert len(npz.files) == 104
        np.testing.assert_array_equal(npz["layer4/1/conv2/W"], arrays["layer4.1.conv2.weight"])
        meta = json.loads(str(npz["__meta__"]))
    assert meta["format"] == 1
    assert (meta["model"], meta["arguments"], meta["label_names"]) == ("resnet18", {"n_class": 3}, None)
    assert meta["source"]["file"] == "net.pth"
    assert len(meta["source"]["sha256"]) == 64
    assert meta["converter"] == weights_convert.__version__


def test_the_default_destination_has_the_new_ending(tmp_path):
    write_resnet18(tmp_path / "a.pth")
    assert main([str(tmp_path / "a.pth"), "--to", "safetensors"]) == 0
    assert main([str(tmp_path / "a.safetensors")]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "a.pth", "a.safetensors"]


def test_the_same_input_gives_the_same_bytes(checkpoint, tmp_path):
    for name in "ab":
        weights_convert.convert(checkpoint[0], tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_everything_that_does_not_fit_is_named_at_once(tmp_path, capsys):
    path = tmp_path / "bad.pth"
    write_resnet18(path, without=["layer1.0.conv1.weight"], more={"extra.weight": (2, 2), "layer2.0.bn1.bias": (7,)})
    with pytest.raises(weights_convert.ConversionError) as error:
        weights_convert.convert(path, tmp_path / "bad.npz")
    assert str(error.value).splitlines() == [
        "bad.pth: does not fit resnet18",
        "bad.pth: layer2/0/bn1/beta has shape (7,) in the file, (128,) in the model",
        "bad.pth: layer1/0/conv1/W is missing",
        "bad.pth: extra/W is in the file, the model has no place for it",
    ]
    assert error.value.missing == error.value.report.missing == ["layer1/0/conv1/W"]
    assert (error.value.file, error.value.unexpected) == ("bad.pth", ["extra/W"])
    assert error.value.misshapen == {"layer2/0/bn1/beta": [[7], [128]]}
    assert set(error.value.names) == {"layer1/0/conv1/W", "extra/W", "layer2/0/bn1/beta"}
    assert main([str(path)]) == 1
    out, err = capsys.readouterr()
    assert "misshapen   1: layer2/0/bn1/beta: (7,) in the file, (128,) in the model" in out
    assert err == "weights-convert: bad.pth: does not fit resnet18: 3 problems, listed above\n"
    assert [p.name for p in tmp_path.iterdir()] == ["bad.pth"]


def test_partial_on_purpose(tmp_path):
    path = tmp_path / "trunk.pth"
    write_resnet18(path, without=["fc.weight", "fc.bias"], more={"head.weight": (2, 2)})
    report = weights_convert.convert(path, tmp_path / "t.npz", drop=["head/*"], allow_missing=["fc/*"])
    assert report.dropped == {"head/W": "--drop head/*"}
    assert (report.allowed, report.arguments) == ([], {"n_class": 0})
    report = weights_convert.convert(path, tmp_path / "t.npz", only="layer1/")
    assert set(report.mapped) == {name for name in report.mapped if name.startswith("layer1/")}
    assert len(report.mapped) == 20
    report = weights_convert.convert(path, tmp_path / "t.npz", model="any", rename=["layer1/=stage/", "head/W=x/y/W"])
    assert "stage/0/conv1/W" in report.mapped
    assert "x/y/W" in report.mapped
    with np.load(tmp_path / "t.npz") as npz:
        assert json.loads(str(npz["__meta__"]))["model"] is None


def test_storage_in_half_precision(checkpoint, tmp_path, capsys):
    path, arrays = checkpoint
    assert main([str(path), str(tmp_path / "h.npz"), "--dtype", "float16", "--compress", "--check"]) == 0
    text = capsys.readouterr().out
    assert "103 float16" in text
    assert "103 tensors read back from the written file are equal" in text
    with np.load(tmp_path / "h.npz") as npz:
        np.testing.assert_array_equal(npz["conv1/W"], arrays["conv1.weight"].astype("f2"), strict=True)


def test_a_file_that_reads_back_different_is_removed(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "same", lambda a, b: a.shape != (64,))
    with pytest.raises(weights_convert.CheckpointError, match=r"x\.npz: \S+ reads back different"):
        weights_convert.convert(checkpoint[0], tmp_path / "x.npz", check=True)
    assert list(tmp_path.iterdir()) == []


def test_half_precision_never_becomes_infinite(tmp_path):
    write_resnet18(tmp_path / "a.pth", more={"scale": (2,)}, dtype="float32")
    arrays = {"scale": np.float32([1, 1e6])}
    mapped = {"scale": ["scale", (2,), "float32"]}
    write_checkpoint(tmp_path / "b.pth", mapped, arrays.__getitem__, dict, to="pth")
    sentence = r"b\.pth: scale has values that float16 cannot hold; the largest is 1e\+06"
    with pytest.raises(weights_convert.CheckpointError, match=sentence):
        weights_convert.convert(tmp_path / "b.pth", tmp_path / "b.npz", model="any", dtype="float16")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth", "b.pth"]


def test_inspect_says_what_the_file_knows(checkpoint, tmp_path, capsys):
    destination = str(tmp_path / "net.npz")
    assert main([str(checkpoint[0]), destination, "--meta", "label_names=cat,dog,a cow"]) == 0
    assert main([destination, "--inspect"]) == 0
    for text in capsys.readouterr().out.split("net.npz: npz"):
        assert "  labels      cat, dog, a cow\n" in text


def test_inspect_says_what_it_is_and_writes_nothing(checkpoint, capsys):
    path = checkpoint[0]
    assert main([str(path), "--inspect"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("net.pth: torch zip, names of torchvision\n  model       resnet18(n_class=3)\n")
    assert "because     102 of the 102 tensors of resnet18 are there" in text
    assert main([str(path), "--inspect", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["fits"]) == ("resnet18", True)
    assert report["mapped"]["fc/W"] == ["fc.weight", [3, 512], "float32"]
    assert [p.name for p in path.parent.iterdir()] == ["net.pth"]


def test_a_conversion_that_fails_is_told_in_json_too(tmp_path, capsys):
    path = tmp_path / "bad.pth"
    write_resnet18(path, without=["layer1.0.conv1.weight"], more={"extra.weight": (2, 2), "layer2.0.bn1.bias": (7,)})
    assert main([str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (report["model"], report["fits"], report["written"]) == ("resnet18", False, None)
    assert report["missing"] == ["layer1/0/conv1/W"]
    assert report["unexpected"] == ["extra/W"]
    assert report["misshapen"] == {"layer2/0/bn1/beta": [[7], [128]]}
    assert err == "weights-convert: bad.pth: does not fit resnet18: 3 problems, listed above\n"
    assert [p.name for p in tmp_path.iterdir()] == ["bad.pth"]
    write_resnet18(path, without=[f"layer{i}.0.conv1.weight" for i in (1, 2, 3, 4)], more={"x.weight": (2, 2)})
    assert main([str(path), "--model", "resnet50", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "weights-convert: bad.pth: has not the names of resnet50, but of resnet18\n"


def test_an_unknown_model_is_told_with_the_nearest(tmp_path, capsys):
    path = tmp_path / "odd.pth"
    shapes = Trunk("basic", (2, 2, 2, 2)).shapes() | linear("fc", 512, 3)
    write_resnet18(path, without=[name for name in shapes if name.startswith(("layer2", "layer3", "bn1"))])
    assert main([str(path)]) == 1
    err = capsys.readouterr().err
    assert "is none of the models known here" in err
    write_resnet18(path, without=[name for name in shapes if ".1." in name or "bn" in name])
    assert main([str(path), "--inspect"]) == 0
    assert "model       none of those known here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--meta", "n_klass=3"], "--meta n_klass: resnet18 takes label_names, n_class"),
        (["--meta", "nonsense"], "--meta takes KEY=VALUE, got 'nonsense'"),
        (["--meta", "label_names=cat,dog"], "--meta label_names has 2 names, the model has 3 classes"),
        (["--meta", "input=keras"], "--meta input must be one of torchvision, caffe, got 'keras'"),
        (["--rename", "nonsense"], "--rename takes FROM=TO, got 'nonsense'"),
        (["--rename", "fc/W=fc/b"], "would both become fc/b"),
        (
            ["--model", "resnet_50"],
            "--model must be any or a builder of chainfpn.models, such as resnet50, got 'resnet_",
        ),
        (["--model", "?"], "--model must be any or a builder of chainfpn.models, got '?'"),
        (["--model", "resnet50"], "has not the names of resnet50, but of resnet18"),
        (["--drop", "*"], "nothing is left to convert"),
        (["--drop", "zzz*"], "net.pth: --drop zzz*: nothing is called so"),
        (["--rename", "foo=bar"], "net.pth: --rename foo=bar: nothing begins so"),
        (["--only", "foo/"], "net.pth: --only foo/: nothing begins so"),
        (["--model", "fasterrcnn_resnet50_fpn"], "of resnet18: a trunk's weights, which pretrained_backbone takes"),
        (["--entry", "ema"], "has no entry 'ema'"),
    ],
)
def test_bad_requests_are_one_sentence(checkpoint, arguments, sentence, capsys, tmp_path):
    assert main([str(checkpoint[0]), str(tmp_path / "x.npz"), *arguments]) == 1
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_one_sentence(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere.pth")]) == 1
    assert (
        capsys.readouterr().err
        == f"weights-convert: {tmp_path}/nowhere.pth: cannot be read: No such file or directory\n"
    )
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"weights-convert: {tmp_path}: is a folder, not a checkpoint\n"
    write_resnet18(tmp_path / "a.npz")
    assert main([str(tmp_path / "a.npz")]) == 1
    assert capsys.readouterr().err == f"weights-convert: {tmp_path}/a.npz: is the source itself\n"
    assert main([str(tmp_path / "a.npz"), str(tmp_path / "no" / "b.npz")]) == 1
    assert (
        capsys.readouterr().err
        == f"weights-convert: {tmp_path}/no/b.npz: cannot be written: No such file or directory\n"
    )


def test_help_fits_a_screen():
    lines = make_parser().format_help().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80


def test_meta_values_are_read_as_what_they_look_like(checkpoint, tmp_path):
    meta = {"label_names": ["a", "b", "c"]}
    weights_convert.convert(checkpoint[0], tmp_path / "x.npz", meta=meta)
    weights_convert.convert(tmp_path / "x.npz", tmp_path / "y.safetensors")
    weights_convert.convert(tmp_path / "y.safetensors", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as npz:
        assert json.loads(str(npz["__meta__"]))["label_names"] == ["a", "b", "c"]
