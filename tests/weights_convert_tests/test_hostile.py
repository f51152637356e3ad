"""Files that mean harm or are broken: nothing runs, nothing hangs, memory stays small, one sentence answers."""

import json
import pathlib
import random
import subprocess
import sys
from typing import NamedTuple

import pytest

import weights_convert
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


def test_there_are_enough_of_them(answers):
    assert len(answers.files) >= 200
    assert len(set(generator.executing("x"))) >= 40


def test_each_is_answered_by_one_sentence_that_names_the_file(answers):
    for name, (_, sentence) in answers.files.items():
        message = answers.messages[name]
        assert name in message, (name, message)
        assert sentence in message, (name, message)
        assert "\n" not in message
        assert len(message) < 450
        assert message.isprintable()


def test_nothing_was_executed(answers):
    assert not answers.canary.exists()


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


def test_a_refused_file_leaves_nothing_behind(tmp_path, capsys):
    from weights_convert.__main__ import main

    source = tmp_path / "evil.pth"
    source.write_bytes(assembler.torch_zip(assembler.pickled(generator.executing(tmp_path / "canary")["reduce"][0])))
    assert main([str(source), str(tmp_path / "out.npz")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "os.system" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth"]
