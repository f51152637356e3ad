"""Files that mean harm or are broken: nothing runs, nothing hangs, memory stays small, one sentence answers."""

import json
import pathlib
import pickle
import random
import struct
import subprocess
import sys
from typing import NamedTuple

import pytest

import weights_convert
from weights_convert.errors import printable
from weights_convert_tests.hostile import assembler, generator

#: Reads every file it is given, in a process of its own: if the interpreter crashes, one test fails, not the run.
READ_ALL = """
import json, resource, sys
import weights_convert

limit = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.stdin.read().splitlines():
    try:
        arrays = weights_convert.read_checkpoint(path)
        message = "read: " + ", ".join(arrays)
    except weights_convert.CheckpointError as error:
        message = str(error)
    print(json.dumps([path, message]), flush=True)
with open("/proc/self/status") as status:
    print(json.dumps(next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))))
"""


class Answers(NamedTuple):
    """What came of reading every file: ``{name: message}``, the files, the peak memory in MB, the canary."""

    messages: dict
    files: dict
    peak: int
    canary: pathlib.Path


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Read every hostile file in one process, which is killed should one of them hang it."""
    folder = tmp_path_factory.mktemp("hostile")
    canary = folder / "canary"
    files = generator.files(canary)
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    listing = "\n".join(str(folder / name) for name in files)
    done = subprocess.run([sys.executable, "-c", READ_ALL], input=listing, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *rows, peak = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(files)
    return Answers({path.rpartition("/")[2]: message for path, message in rows}, files, peak, canary)


@pytest.mark.slow
def test_there_are_enough_of_them(answers):
    assert len(answers.files) >= 200
    assert len(set(generator.executing("x"))) >= 40


@pytest.mark.slow
def test_each_is_answered_by_one_sentence_that_names_the_file(answers):
    for name, (_, sentence) in answers.files.items():
        message = answers.messages[name]
        assert name in message, (name, message)
        assert sentence in message, (name, message)
        assert "\n" not in message
        assert len(message) < 450
        assert message.isprintable()


def test_text_of_a_file_is_shown_on_one_line_and_not_without_end():
    assert printable("a\nb\x1b") == r"a\nb\x1b"
    assert printable("x" * 400) == "x" * 400
    assert printable("x" * 401) == "x" * 397 + "..."


@pytest.mark.slow
def test_nothing_was_executed(answers):
    assert not answers.canary.exists()


@pytest.mark.slow
def test_memory_stays_small(answers):
    assert answers.peak < 384


def _small_files(tmp_path):
    pickle = assembler.pickled(assembler.state_dict(x=assembler.tensor(), y=assembler.tensor((2, 2), (2, 1))))
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return {
        "zip": assembler.torch_zip(pickle),
        "deflated": assembler.torch_zip(pickle, method=8),
        "legacy": assembler.torch_legacy(assembler.state_dict(x=assembler.tensor())),
        "safetensors": assembler.safetensors({"x": entry}),
        "npz": assembler.npz(x=assembler.npy(), y=assembler.npy()),
        "pickle": assembler.pickled(assembler.state_dict(x=assembler.text("some text"))),
    }


def _read(path):
    """Return the arrays, or None where the one error that may be raised is raised."""
    try:
        return weights_convert.read_checkpoint(path)
    except weights_convert.CheckpointError:
        return None


@pytest.mark.parametrize("kind", ["zip", "deflated", "legacy", "safetensors", "npz", "pickle"])
def test_every_truncation_is_answered(kind, tmp_path):
    data = _small_files(tmp_path)[kind]
    path = tmp_path / "truncated"
    if kind != "pickle":
        path.write_bytes(data)
        assert "x" in _read(path)
    for n in range(len(data)):
        path.write_bytes(data[:n])
        assert _read(path) is None, n


@pytest.mark.parametrize("kind", ["zip", "deflated", "legacy", "safetensors", "npz", "pickle"])
def test_random_damage_never_gets_past_the_reader(kind, tmp_path):
    data = _small_files(tmp_path)[kind]
    path = tmp_path / "damaged"
    rng = random.Random(kind)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
            damaged[rng.randrange(len(damaged))] = rng.choice((rng.randrange(256), 0, 255, 0x80))
        path.write_bytes(damaged)
        _read(path)


@pytest.mark.slow
def test_what_is_shared_without_end_is_walked_once(tmp_path):
    path, rng = tmp_path / "shared.pkl", random.Random(0)
    for i in range(3200):
        data = bytearray(assembler.pickled(generator.shared(rng)))
        for _ in range(rng.choice((0, 0, 1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        assert _read(path) is None, i


@pytest.mark.parametrize("kind", ["shared_dicts", "tuple_keys", "shared_modules"])
def test_a_few_kilobytes_do_not_keep_the_reader_busy(kind, tmp_path):
    """What took minutes ends at once; a run that hangs is ended by the limit on all tests."""
    many = {str(i): 1 for i in range(60)}
    for _ in range(4):
        many = {str(i): many for i in range(60)}
    parts = tuple(range(99))
    for _ in range(2):
        parts = (parts,) * 99
    key = pickle.dumps(parts, 2)[2:-1] + b"r\xff\xff\x00\x000}(" + b"j\xff\xff\x00\x00K\x01" * 2000 + b"u"
    start = assembler.global_("some.where", "Module") + b")\x81}" + assembler.text("_parameters") + b"}s"
    start += assembler.text("_modules") + b"}"
    inside = assembler.text("a") + b"g%d\ns" + assembler.text("b") + b"g%d\ns"
    modules = b"".join(start + inside % (i, i) + b"sbp%d\n0" % (i + 1) for i in range(60))
    data = {
        "shared_dicts": pickle.dumps({"x": many, "y": 1}, 2),
        "tuple_keys": assembler.pickled(key),
        "shared_modules": assembler.pickled(b"}p0\n0" + modules + b"g60\n"),
    }[kind]
    sentences = {
        "shared_dicts": "holds no tensors with names",
        "tuple_keys": "uses a tuple of more than 32 parts as a key",
        "shared_modules": "has more than 20000 modules",
    }
    (tmp_path / "small.pkl").write_bytes(data)
    with pytest.raises(weights_convert.CheckpointError, match=sentences[kind]):
        weights_convert.read_checkpoint(tmp_path / "small.pkl")


@pytest.mark.slow
def test_a_long_history_beside_the_weights_is_harmless(tmp_path):
    values = b"".join(b"G" + struct.pack(">d", i) for i in range(1_100_000))
    pickled = assembler.pickled(
        assembler.state_dict(model=assembler.state_dict(x=assembler.tensor()), history=b"(" + values + b"l")
    )
    (tmp_path / "history.pth").write_bytes(assembler.torch_zip(pickled))
    assert set(weights_convert.read_checkpoint(tmp_path / "history.pth")) == {"x"}


def beside(canary):
    """Return ``{name: (what stands beside the weights, how it is told)}``: data that nobody runs."""
    a = assembler
    return {
        "type": (a.global_("typing", "Any"), "typing.Any"),
        "function": (a.global_("_operator", "add"), "_operator.add"),
        "builtin": (a.global_("builtins", "max"), "builtins.max"),
        "compiled": (a.call(a.global_("re", "_compile"), a.text("x"), b"K\x00"), "re._compile"),
        "exception": (a.call(a.global_("builtins", "ValueError"), a.text("x")), "builtins.ValueError"),
        "unpickled by its own": (a.call(a.global_("omegaconf.base", "make"), a.text("x")), "omegaconf.base.make"),
        "evil": (a.call(a.global_("os", "system"), a.text(f"touch {canary}")), "os.system"),
    }


@pytest.mark.parametrize("kind", beside("x"))
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_what_stands_beside_the_weights_is_left_out_and_named(kind, container, tmp_path):
    a, (thing, named) = assembler, beside(tmp_path / "canary")[kind]
    write = {"zip": lambda body: a.torch_zip(a.pickled(body)), "legacy": a.torch_legacy}[container]
    path = tmp_path / "model.pth"
    hyper = a.state_dict(deep=b"(" + thing + b"l")
    path.write_bytes(write(a.state_dict(state_dict=a.state_dict(x=a.tensor()), hyper_parameters=hyper)))
    assert set(weights_convert.read_checkpoint(path)) == {"x"}
    report = weights_convert.inspect(path, model="any")
    assert report.notes == ["beside it in the file: hyper_parameters", f"left out: hyper_parameters (names {named})"]
    for body in (
        a.state_dict(state_dict=a.state_dict(x=a.tensor(), y=thing), epoch=b"K\x01"),
        a.state_dict(state_dict=a.state_dict(x=a.tensor(), y=b"(" + thing + b"l")),
        a.state_dict(hyper_parameters=thing),
    )[: 3 if container == "zip" else 2]:
        path.write_bytes(write(body))
        with pytest.raises(weights_convert.CheckpointError, match=rf"the pickle (asks for|would call) {named}"):
            weights_convert.read_checkpoint(path)
    assert not (tmp_path / "canary").exists()


def test_a_refused_file_leaves_nothing_behind(tmp_path, capsys):
    from weights_convert.__main__ import main

    source = tmp_path / "evil.pth"
    source.write_bytes(assembler.torch_zip(assembler.pickled(generator.executing(tmp_path / "canary")["reduce"][0])))
    assert main([str(source), str(tmp_path / "out.npz")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "os.system" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth"]
