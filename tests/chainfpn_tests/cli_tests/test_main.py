import contextlib
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import chainfpn
import weights_convert
from chainfpn import _console, models
from chainfpn.cli import detector as cli_detector
from chainfpn.cli.main import COMMANDS, main
from chainfpn.cli.parser import make_parser
from chainfpn.data import photograph_path, weights_path
from reference.arrays import saved
from weights_convert import zoo

#: Where the person is in the bundled photograph: yxyx.
PERSON = (0, 84, 511, 346)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """The bundled photograph, small enough to be quick, alone in the current folder."""
    monkeypatch.chdir(tmp_path)
    return shutil.copy(photograph_path(), "photo.jpg")


@pytest.fixture
def checkpoint(photo):
    """The bundled weights as a torch checkpoint, which does not know the image sizes or names."""
    weights_convert.convert(weights_path(), "person.pth")
    return "person.pth"


def chainfpn_command(*arguments, **options):
    """Run the command in a process of its own: status, stdout, stderr."""
    command = [sys.executable, "-W", "error", "-m", "chainfpn", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def bundled():
    """What is said where no weights are named and the network is away."""
    why = f"fasterrcnn_resnet50_fpn of COCO is not in {os.environ['CHAINFPN_HOME']} and cannot be downloaded now"
    return f"no --weights: using the bundled person detector, for {why}\n"


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"chainfpn {chainfpn.__version__}\n"


@pytest.mark.parametrize("entry", [_console.chainfpn, _console.weights_convert])
def test_ctrl_c_while_a_command_is_imported_is_status_130(entry, monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("chainfpn._console.import_module", interrupted)
    assert entry() == 130
    assert capsys.readouterr() == ("", "")


def test_the_table_goes_wherever_standard_output_does():
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert main(["models"]) == 0
    assert "fasterrcnn_resnet50_fpn" in shown.getvalue()


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda command: " ".join(command))
def test_help_fits_a_screen_and_has_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    output = capsys.readouterr().out
    assert output.startswith("usage: chainfpn ")
    assert max(map(len, output.splitlines())) <= 80
    assert len(output.splitlines()) <= 45
    assert f"\nExample:\n  chainfpn {' '.join(command)}" in output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "chainfpn: the following arguments are required: COMMAND; chainfpn --help lists the options"),
        ("nothing", "chainfpn: COMMAND: invalid choice: 'nothing' (choose from "),
        ("detect", "chainfpn detect: the following arguments are required: IMAGE; chainfpn detect --help lists the"),
        ("detect x.jpg --score high", "chainfpn detect: --score: invalid fraction value: 'high'; "),
        ("detect x.jpg --score 1.5", "chainfpn detect: --score: must be in 0 to 1, got 1.5; "),
        ("detect x.jpg --score nan", "chainfpn detect: --score: must be in 0 to 1, got nan; "),
        ("detect x.jpg --device gpu", "chainfpn detect: --device: must be cpu or cuda:N, got gpu; "),
        ("detect x.jpg --device cuda:x", "chainfpn detect: --device: must be cpu or cuda:N, got cuda:x; "),
        ("detect x.jpg --model resnet18", "chainfpn detect: --model and --cache need --weights; "),
        ("detect x.jpg --json ./x.jpg", "chainfpn detect: --json must not name an image or the weights, got ./x.jpg; "),
        ("demo x.jpg", "chainfpn demo: unrecognized arguments: x.jpg; "),
        ("train --out x", "chainfpn train: --data is needed, except with --resume; "),
        ("train --out x --data y --crop 2", "chainfpn train: --crop: must be in 0 to 1, got 2; "),
        ("models --family yolo", "chainfpn models: --family must be one of alexnet, vgg, "),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(command, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(command.split())
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(message)
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", [["detect", ""], ["models", "--json", ""], ["train", "--data", "", "--out", "x"]])
def test_an_empty_argument_is_wrong_usage(command, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert capsys.readouterr().err == "chainfpn: no argument may be empty; chainfpn --help lists the options\n"


def test_an_option_means_the_same_to_every_command():
    parsers = make_parser(COMMANDS)[1].values()
    found = {}
    for action in itertools.chain(*(parser._actions for parser in parsers)):
        for option in action.option_strings:
            value = action.metavar, action.nargs
            assert found.setdefault(option, value) == value, option


def test_without_weights_the_bundled_detector_finds_the_person_and_says_so(photo, capsys):
    assert main(["detect", photo, "--json", "found.json"]) == 0
    output, errors = capsys.readouterr()
    assert errors == bundled()
    assert output.splitlines()[-1] == "picture written to detections/photo_detected.jpg"
    (record,) = json.loads(pathlib.Path("found.json").read_text())
    (found,) = record["detections"]
    assert (record["file"], record["width"], record["height"]) == ("photo.jpg", 512, 512)
    assert (found["name"], found["label"]) == ("person", 0)
    np.testing.assert_allclose(found["bbox"], PERSON, atol=2)
    assert os.path.getsize("detections/photo_detected.jpg") > 10_000


def test_a_checkpoint_is_converted_on_the_fly_and_nothing_is_kept(photo, checkpoint, capsys):
    before = set(os.listdir())
    assert main(["detect", photo, "--weights", checkpoint, "--out", "out"]) == 0
    assert "  0  " in capsys.readouterr().out  # a .pth knows no names
    assert set(os.listdir()) == {*before, "out"}


@pytest.mark.slow
def test_cache_keeps_the_conversion_and_uses_it(photo, checkpoint, monkeypatch):
    command = ["detect", photo, "--weights", checkpoint, "--cache"]
    assert main(command) == 0
    assert pathlib.Path("person.npz").exists()
    monkeypatch.delattr(weights_convert, "convert")
    assert main(command) == 0


def test_cache_never_replaces_another_file(photo, checkpoint, capsys):
    shutil.copy(weights_path(), "person.npz")
    before = pathlib.Path("person.npz").read_bytes()
    assert main(["detect", photo, "--weights", checkpoint, "--cache"]) == 1
    message = "person.npz: exists and was not converted from person.pth; remove it or leave out --cache"
    assert capsys.readouterr().err == f"chainfpn detect: {message}\n"
    assert pathlib.Path("person.npz").read_bytes() == before


WRONG = {
    "missing weights": (["--weights", "nowhere.npz"], "nowhere.npz: there is no such file"),
    "missing checkpoint": (["--weights", "nowhere.pth"], "nowhere.pth: there is no such file"),
    "a folder": (["--weights", "folder.npz"], "folder.npz: cannot be read (Is a directory)"),
    "no archive": (["--weights", "text.npz"], "text.npz: must be an .npz archive, got another kind of file"),
    "no model": (["--weights", "arrays.npz"], "arrays.npz: the file does not say which model it is of; name the"),
    "unknown model": (
        ["--weights", "arrays.npz", "--model", "yolo"],
        f"arrays.npz: model must be one of {', '.join(models.MODELS)}, got 'yolo'",
    ),
    "other weights": (["--weights", "arrays.npz", "--model", "fasterrcnn_resnet_fpn"], "... and "),
    "not a detector": (
        ["--weights", "resnet.npz"],
        "resnet.npz: holds the weights of a ResNet, which is not a detector",
    ),
    "device absent": (["--device", "cuda:99"], "--device cuda:99: "),
    "json nowhere": (["--json", "no/x.json"], "no/x.json: cannot be written (No such file or directory)"),
    "out is a file": (["--out", "text.npz"], "text.npz: cannot be written (File exists)"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_done_is_one_sentence_and_status_1(options, message, photo, capsys):
    pathlib.Path("folder.npz").mkdir()
    pathlib.Path("text.npz").write_text("no archive")
    np.savez("arrays.npz", x=np.zeros(3))
    if "resnet.npz" in options:
        meta = json.dumps({"model": "resnet18", "arguments": {"n_class": 10}})
        np.savez("resnet.npz", __meta__=np.array(meta), **saved(models.resnet18(10)))
    before = {path: path.stat().st_mtime_ns for path in pathlib.Path().rglob("*")}
    assert main(["detect", photo, *options]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    errors = errors.removeprefix(bundled())
    assert errors.startswith("chainfpn detect: ")
    assert message in errors
    assert errors.count("\n") <= 1 + cli_detector._MAX_LINES
    assert {path: path.stat().st_mtime_ns for path in pathlib.Path().rglob("*")} == before


def test_a_damaged_checkpoint_is_one_sentence(photo, checkpoint, capsys):
    content = pathlib.Path(checkpoint).read_bytes()
    pathlib.Path(checkpoint).write_bytes(content[: len(content) // 2])
    assert main(["detect", photo, "--weights", checkpoint]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("chainfpn detect: person.pth: ")
    assert errors.count("\n") == 1


def test_no_memory_for_the_weights_is_one_sentence(photo, capsys, monkeypatch):
    def load(path, model):
        raise MemoryError

    monkeypatch.setattr(cli_detector.models, "load", load)
    assert main(["detect", photo, "--weights", "photo.jpg"]) == 1
    assert capsys.readouterr().err == "chainfpn detect: photo.jpg: is too large for the memory\n"


def test_the_module_runs_as_the_command_does(photo):
    done = chainfpn_command("detect", "nowhere.jpg")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["nowhere.jpg: there is no such file"]  # and nothing was loaded


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_a_file_name_that_is_no_text_is_shown_in_escapes(photo):
    name = os.fsdecode(b"caf\xe9.jpg")
    os.rename(photo, name)
    done = chainfpn_command("detect", name, "--json", "found.json")
    assert (done.returncode, done.stderr) == (0, bundled())
    assert done.stdout.splitlines()[-1] == r"picture written to detections/caf\udce9_detected.jpg"
    assert json.loads(pathlib.Path("found.json").read_text())[0]["file"] == name


def test_a_reader_that_stops_early_sees_no_traceback(photo):
    command = f"{sys.executable} -m chainfpn detect {'nowhere.jpg ' * 3} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.slow
def test_the_demo_finds_the_person_without_compiled_operators(tmp_path):
    """From nothing: no compiled operators from an earlier run."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    done = chainfpn_command("demo", "--out", "pictures", cwd=tmp_path, env=environment)
    remark = "Numba compiles operators for the CPU, each the first time only: 3 to 10 seconds\n"
    assert (done.returncode, done.stderr) == (0, remark)
    header, astronaut, coffee, last = done.stdout.splitlines()
    assert header.split()[:2] == ["image", "object"]
    values = astronaut.rsplit(maxsplit=6)[1:]
    assert values[0] == "person"
    np.testing.assert_allclose([float(v) for v in values[2:]], PERSON, atol=2)
    assert coffee.rsplit(maxsplit=1)[1] == "-"
    assert last == "2 pictures written to pictures"
    for name in ("astronaut", "coffee"):
        assert (tmp_path / "pictures" / f"{name}_detected.jpg").stat().st_size > 10_000
    again = chainfpn_command("demo", "--out", "pictures", cwd=tmp_path, env=environment)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", done.stdout)


@pytest.mark.slow
def test_what_was_found_before_a_pipe_is_closed_is_in_the_json(photo):
    command = f"{sys.executable} -m chainfpn detect {photo} {photo} --json found.json | head -3"
    subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    records = json.loads(pathlib.Path("found.json").read_text())
    assert [record["file"] for record in records][:1] == ["photo.jpg"]


@pytest.mark.slow
def test_published_weights_are_fetched_by_their_name(photo, checkpoint, server, monkeypatch, capsys):
    """From a server on the loopback, once."""
    digest = hashlib.sha256(pathlib.Path(checkpoint).read_bytes()).hexdigest()
    file = f"fasterrcnn-{digest[:8]}.pth"
    os.rename(checkpoint, file)
    monkeypatch.setenv("CHAINFPN_ZOO_URL", server)
    monkeypatch.setitem(zoo.FILES, "fasterrcnn_resnet_fpn", file)
    command = ["detect", photo, "--weights", "fasterrcnn_resnet_fpn"]
    assert main(command) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines()[-1] == "picture written to detections/photo_detected.jpg"
    kept = zoo.home() / file.replace(".pth", ".npz")
    assert errors.splitlines() == [
        f"fasterrcnn_resnet_fpn: downloading to {zoo.home()}",
        f"fasterrcnn_resnet_fpn: downloaded from {server}/{file}; kept as {kept}",
        "fasterrcnn_resnet_fpn: its classes have no names, and are numbers from 0 here; "
        "weights-convert --meta label_names=A,B,... gives them some",
    ]
    os.unlink(file)
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_picture_of_an_address_and_the_bundled_detector_on_the_table(photo, server, capsys):
    os.rename(photo, "remote.jpg")
    assert main(["detect", f"{server}/remote.jpg", "nowhere.jpg"]) == 1
    output, errors = capsys.readouterr()
    assert output.splitlines()[0] == "detector: the bundled one, which knows persons only"
    assert output.splitlines()[-1] == "picture written to detections/remote_detected.jpg"
    assert errors == f"nowhere.jpg: there is no such file\n{bundled()}"
