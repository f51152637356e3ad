"""``chainfpn export``, and ``chainfpn detect --engine``."""

import json
import pathlib
import shutil
import sys

import onnx
import pytest

from chainfpn.cli.errors import CommandError
from chainfpn.cli.main import main
from chainfpn.data import photograph_path, weights_path
from chainfpn.functions.kernels import threads
from chainfpn.links import Detector


@pytest.mark.parametrize(
    ("form", "names"), [("dense", ["person.onnx", "person.box.onnx"]), ("end_to_end", ["person.onnx"])]
)
def test_a_weight_file_becomes_onnx_files(form, names, tmp_path, capsys):
    out = tmp_path / "person.onnx"
    assert main(["export", str(weights_path()), str(out), "--form", form]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(tmp_path / name) for name in names]
    texts = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert json.loads(texts["label_names"]) == ["person"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.npz", "{folder}/x.onnx"], "chainfpn export: missing.npz: there is no such file"),
        (["{weights}", "{folder}/missing/x.onnx"], "missing/x.onnx: cannot be written (No such file or directory)"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, sentence, tmp_path, capsys):
    places = {"folder": tmp_path, "weights": weights_path()}
    assert main(["export", *(argument.format(**places) for argument in arguments)]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_weights_are_not_replaced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights_path(), "person.npz")
    with pytest.raises(SystemExit, match="2"):
        main(["export", "person.npz", "./person.npz"])
    assert capsys.readouterr().err.startswith("chainfpn export: OUT.onnx must not name the weights, got person.npz; ")
    assert pathlib.Path("person.npz").read_bytes() == weights_path().read_bytes()


def test_both_engines_find_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", 2)  # which --threads changes
    found = {}
    for engine in ("chainer", "onnx"):
        path = tmp_path / f"{engine}.json"
        options = ["--engine", engine, "--threads", "1", "--json", str(path), "--out", str(tmp_path / engine)]
        assert main(["detect", str(photograph_path()), "--weights", str(weights_path()), *options]) == 0
        (record,) = json.loads(path.read_text())
        found[engine] = record["detections"]
    assert threads.N_THREADS == 1
    assert len(found["onnx"]) == len(found["chainer"]) > 0
    for one, other in zip(*found.values(), strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=0.05)
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


@pytest.mark.parametrize(("options", "expected"), [(["--threads", "5"], 5), ([], 3)])
def test_threads_of_the_engine_are_those_of_the_command_or_of_the_variable(options, expected, monkeypatch):
    given = []

    def to_engine(detector, *args, **options):
        given.append(options["threads"])
        raise ValueError("that is all")

    monkeypatch.setattr(threads, "N_THREADS", 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(Detector, "to_engine", to_engine)
    assert main(["detect", str(photograph_path()), "--weights", str(weights_path()), *options]) == 1
    assert given == [expected]


@pytest.mark.parametrize(("names", "n_images"), [("a.jpg", 1), ("a.jpg b.jpg", 2), ("a.mp4", None)])
def test_the_engine_knows_how_many_images_there_are(names, n_images, tmp_path, monkeypatch):
    given = {}

    def on_engine(detector, *args, **options):
        given.update(options)
        raise CommandError("that is all")

    monkeypatch.setattr("chainfpn.cli.detector.on_engine", on_engine)
    monkeypatch.chdir(tmp_path)
    for name in names.split():
        pathlib.Path(name).touch()
    assert main(["detect", *names.split(), "--weights", str(weights_path())]) == 1
    assert given == {"cache": None, "n_images": n_images}


def test_without_the_extra_the_engine_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    arguments = ["detect", str(photograph_path()), "--weights", str(weights_path()), "--out", str(tmp_path)]
    assert main([*arguments, "--engine", "onnx"]) == 1
    assert "pip install 'chainfpn[onnx]'" in capsys.readouterr().err
