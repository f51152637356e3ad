"""The programs of examples/ and their notebooks, on little data, as their docstrings say to try them."""

import json
import pathlib
import re

import notebooks
import numpy as np
import pytest
from PIL import Image

from chainfpn import data, models
from reference import processes

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
PROGRAMS = [path.stem for path in notebooks.programs()]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs all cells of a notebook in an empty folder and returns what they print.

    The cells are the program: its definitions, and the commands to try it with.
    """

    def run(name):
        np.random.seed(0)
        content = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))
        namespace = {"__name__": "__main__", "__doc__": "IPython's, for one."}
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{name} {cell['id']}", "exec"), namespace)
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    return run


def test_every_program_has_a_notebook_in_step_with_it_and_a_test():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\), \[notebook\]\(\1\.ipynb\)", page, re.MULTILINE)) == PROGRAMS
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == PROGRAMS
    for path in notebooks.programs():
        made = path.with_suffix(".ipynb").read_text(encoding="utf-8")
        assert notebooks.notebook(path) == made, "run python scripts/notebooks.py"
    tests = pathlib.Path(__file__).read_text(encoding="utf-8")
    assert sorted(set(re.findall(r'(?:run\(|EXAMPLES / )"(?!README)(\w+)(?:\.py)?"', tests))) == PROGRAMS


def test_a_cell_is_the_program_or_a_command():
    path = EXAMPLES / "finetune_voc.py"
    (kind, title), (_, imports), *definitions, _, _, last = notebooks.cells(path)
    assert (kind, title.partition("\n")[0]) == (
        "markdown",
        f"# {path.read_text(encoding='utf-8')[3:].partition(chr(10))[0]}",
    )
    assert imports.startswith("import argparse\n")
    assert "isort" not in imports
    assert [text.partition("(")[0] for _, text in definitions[:2]] == ["def build", "def main"]
    assert last[1].startswith('main(["sample_voc", "--split"')
    cell = notebooks.to_cell("x", ["mpiexec", "-n", "2", "python", "examples/x.py"])
    assert 'command = ["mpiexec", "-n", "2", sys.executable, "x.py"]\n' in cell


@pytest.mark.slow
def test_chainercv_trains_on_our_trunk(run):
    said = run("chainercv_trunk")
    assert re.match(r"step 0  loss \d+\.\d+\n", said)
    with np.load("sample_trunk.npz") as file:
        assert file["extractor/base/resnet/layer4/1/conv2/W"].shape == (512, 512, 3, 3)
        assert file["bbox_head/conf/W"].shape == (4, 1024)


@pytest.mark.slow
def test_a_voc_folder_is_learned_from_the_bundled_weights(run):
    said = run("finetune_voc")
    assert said.endswith("chainfpn detect IMAGE --weights finetuned/finetuned.npz\n")
    (log,) = json.loads(pathlib.Path("finetuned/log").read_text())
    assert log["main/loss"] > 0
    assert 0 <= log["validation/main/map"] <= 1
    model, bundled = models.load("finetuned/finetuned.npz"), models.load(data.weights_path())
    assert set(model.label_names) <= {"circle", "square", "triangle"}
    assert model.preprocess.max_size == 128
    kept, learned = (m.backbone.body.conv1.W.array for m in (bundled, model))
    np.testing.assert_array_equal(kept, learned)  # frozen
    kept, learned = (m.roi_heads.box_head.fc7.W.array for m in (bundled, model))
    assert 0 < np.abs(kept - learned).max() < 0.1


@pytest.mark.slow
def test_a_resnet_learns_in_a_loop(run):
    said = run("resnet_in_a_loop")
    assert re.match(r"epoch 1  loss \d+\.\d+  accuracy \d\.\d+\nepoch 2 ", said)
    model = models.load("classifier.npz")
    assert (model.n_class, tuple(model.label_names)) == (2, ("blue", "red"))


@pytest.mark.slow
def test_a_probe_tells_red_from_blue_by_moco(run):
    said = run("probe")
    assert said == "resnet18, 512 features: 1.000 of 3 images, 2 classes\n"


@pytest.mark.slow
def test_two_processes_train_together(mpi, run, monkeypatch):
    for name, value in processes.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    pathlib.Path("multi_node.py").symlink_to(EXAMPLES / "multi_node.py")
    said = run("multi_node")
    assert re.match(r"epoch +iteration +main/loss \n\S*1 +2 +\d", said)
    (log,) = json.loads(pathlib.Path("sample_multi_node/log").read_text())
    assert log["iteration"] == 2  # of two images each
    assert log["main/loss"] > 0
    detector = models.load("sample_multi_node/detector.npz")
    assert tuple(detector.label_names) == ("circle", "square", "triangle")


@pytest.mark.slow
def test_a_served_detector_is_asked_and_stopped(run):
    said = run("serve_onnx")
    name, score, bbox = said.strip().split("  ")
    assert (name, score) == ("person", "0.73")
    np.testing.assert_allclose(json.loads(bbox), [0, 84.1, 511.1, 345.8], atol=0.5)
    with Image.open("sample_served.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (512, 512, 3)
    assert (pixels[300, 83:87] == (255, 0, 0)).all(axis=-1).any()  # the left side of the box


@pytest.mark.slow
def test_a_server_that_ends_is_said(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import serve_onnx

    monkeypatch.setattr(serve_onnx, "export_onnx", lambda model, path: [tmp_path / "none.onnx"])
    said = r"the server does not answer: (?s:.)*none\.onnx: must be a file that"
    with pytest.raises(RuntimeError, match=said), serve_onnx.serving(data.weights_path()):
        pytest.fail("is served")
