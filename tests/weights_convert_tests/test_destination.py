"""Nothing is written over that was not made from the same source, and nothing but files is written at all."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import weights_convert
from weights_convert.__main__ import main
from weights_convert_tests.hostile import assembler


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to an empty folder with two sources and a folder."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate("ab"):
        np.savez(tmp_path / f"{name}.npz", **{"fc/W": np.full((2, 2), i, "f4"), "fc/b": np.zeros(2, "f4")})
        weights_convert.convert(tmp_path / f"{name}.npz", tmp_path / f"{name}.pth", model="any")
        (tmp_path / f"{name}.npz").unlink()
    (tmp_path / "folder").mkdir()
    return tmp_path


def run(*arguments):
    return main([*map(str, arguments), "--model", "any"])


def value(path):
    with np.load(path) as npz:
        return npz["fc/W"][0, 0]


def test_two_sources_are_not_written_over_each_other(folder, capsys):
    before = (folder / "b.pth").read_bytes()
    assert run("a.pth", "b.pth") == 1
    error = capsys.readouterr().err
    assert error.startswith("weights-convert: b.pth: exists and was not converted from a.pth; ")
    assert all(word in error for word in ("-o/--output", "--out", "--force"))
    assert (folder / "b.pth").read_bytes() == before
    assert run("a.pth", "b.pth", "--force") == 0
    assert (folder / "b.pth").read_bytes() != before


@pytest.mark.parametrize("content", [b"a letter", b"PK\x03\x04", b""])
def test_what_is_no_checkpoint_is_not_written_over(folder, content, capsys):
    (folder / "x.npz").write_bytes(content)
    assert run("a.pth", "x.npz") == 1
    assert "x.npz: exists and was not converted from a.pth; " in capsys.readouterr().err
    assert (folder / "x.npz").read_bytes() == content


def test_from_python_a_file_is_replaced_by_its_own_source_only(folder):
    weights_convert.convert("a.pth", "x.npz", model="any")
    weights_convert.convert("a.pth", "x.npz", model="any")
    before = (folder / "x.npz").read_bytes()
    with pytest.raises(weights_convert.CheckpointError, match=r"x\.npz: exists and was not converted from b\.pth;"):
        weights_convert.convert("b.pth", "x.npz", model="any")
    with pytest.raises(weights_convert.CheckpointError, match=r"b\.pth: exists and was not converted from x\.npz;"):
        weights_convert.convert("x.npz", "b.pth", model="any")
    assert (folder / "x.npz").read_bytes() == before
    weights_convert.convert("b.pth", "x.npz", model="any", force=True)
    assert value("x.npz") == 1


def test_any_number_of_sources_goes_beside_them_or_into_a_folder(folder, capsys):
    np.savez("c.npz", **{"fc/W": np.full((2, 2), 2, "f4")})
    weights_convert.convert("c.npz", "c.pth", model="any")
    os.unlink("c.npz")
    assert run("a.pth", "b.pth", "c.pth") == 0
    assert [value(f"{name}.npz") for name in "abc"] == [0, 1, 2]
    assert run("a.pth", "b.pth", "--out", "new/folder", "--json") == 0
    assert [value(f"new/folder/{name}.npz") for name in "ab"] == [0, 1]
    out = capsys.readouterr().out
    reports = json.loads(out[out.index("[{") :])
    assert [report["written"] for report in reports] == ["new/folder/a.npz", "new/folder/b.npz"]


def test_the_others_are_converted_where_one_is_bad(folder, capsys):
    (folder / "bad.pth").write_bytes(b"PK")
    assert run("a.pth", "bad.pth", "b.pth") == 1
    assert "bad.pth: the zip's table of contents is missing" in capsys.readouterr().err
    assert sorted(path.name for path in folder.glob("*.npz")) == ["a.npz", "b.npz"]


def test_what_was_made_of_the_same_source_is_replaced(folder):
    assert run("a.pth", "x.npz") == 0
    assert run("a.pth", "x.npz", "--dtype", "float16") == 0
    with np.load("x.npz") as npz:
        assert npz["fc/W"].dtype == np.float16
    assert run("b.pth", "x.npz") == 1
    assert run("b.pth", "-o", "x.npz") == 1
    assert value("x.npz") == 0
    assert run("a.pth", "a.safetensors") == run("a.pth", "a.safetensors") == 0
    assert run("x.npz", "x.pth") == 0
    assert run("x.npz", "x.pth") == 1
    assert run("x.npz", "x.pth", "--force") == 0


def test_options_may_stand_between(folder):
    assert main(["a.pth", "--model", "any", "x.npz"]) == 0
    assert value("x.npz") == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.pth", "b.pth", "-o", "x.npz"], "-o/--output is for one source"),
        (["a.pth", "-o", "x.npz", "--out", "folder"], "-o/--output is for one source"),
        (["a.pth", "x.onnx"], "x.onnx: must end in .npz, .pth, .safetensors, .pkl, .pt, or --to must say"),
        (["a.pth", "folder", "--to", "npz"], "folder: is a folder, not a file that can be replaced"),
        (["a.pth", "-o", "/dev/null", "--to", "npz"], "/dev/null: is a device, not a file that can be replaced"),
        (["a.pth", "fifo.npz"], "fifo.npz: is a FIFO, not a file that can be replaced"),
        (["a.pth", "socket.npz"], "socket.npz: is a socket, not a file that can be replaced"),
        (["fifo.npz"], "fifo.npz: is a FIFO, not a checkpoint"),
        (["/dev/zero", "x.npz"], "/dev/zero: is a device, not a checkpoint"),
        (["a.pth", "round.npz"], "round.npz: is a link that leads to itself"),
        (["a.pth", "--out", "b.pth"], "--out b.pth: cannot be a folder: File exists"),
        (["a.pth", "--out", "b.pth/c"], "--out b.pth/c: cannot be a folder: Not a directory"),
        (["a.pth", "folder/../a.pth", "b.pth"], "a.pth and folder/../a.pth would both become folder/../a.npz"),
    ],
)
def test_what_cannot_be_written_is_refused(folder, arguments, sentence, capsys):
    os.mkfifo("fifo.npz")
    os.symlink("round.npz", "round.npz")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.npz")
        before = sorted(folder.iterdir())
        assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_a_pipe_that_only_a_link_leads_to_is_refused(folder, capsys):
    ends = os.pipe()
    try:
        assert run("a.pth", "-o", f"/dev/fd/{ends[1]}", "--to", "npz") == 1
    finally:
        list(map(os.close, ends))
    assert capsys.readouterr().err.endswith("is a FIFO, not a file that can be replaced\n")


def test_behind_a_link_its_target_is_written(folder):
    os.symlink("folder/target.npz", "link.npz")
    assert run("a.pth", "link.npz") == 0
    assert os.path.islink("link.npz")
    assert value("folder/target.npz") == 0
    assert os.listdir("folder") == ["target.npz"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize(("number", "code", "lines"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 0)])
def test_a_signal_leaves_nothing_behind(tmp_path, number, code, lines):
    size = 1_000_000_000
    header = {"x.weight": {"dtype": "F32", "shape": [size // 4, 1], "data_offsets": [0, size]}}
    with open(tmp_path / "big.safetensors", "wb") as f:  # sparse on disk; deflating it takes a while
        f.write(assembler.safetensors(header, b""))
        f.truncate(f.tell() + size)
    command = [sys.executable, "-m", "weights_convert", "big.safetensors", "--model", "any", "--compress"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*.part")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error == "weights-convert: interrupted\n" * lines
    assert [path.name for path in tmp_path.iterdir()] == ["big.safetensors"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves nothing")
def test_disk_is_reserved_where_it_can_be(folder, capsys, monkeypatch):
    def refuse(number):
        def reserve(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", reserve)

    refuse(errno.ENOSPC)
    assert run("a.pth", "full.npz") == 1
    assert "full.npz: cannot be written: No space left on device" in capsys.readouterr().err
    refuse(errno.EOPNOTSUPP)
    assert run("a.pth", "other.npz") == 0
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert run("a.pth", "reserved.npz") == 0
    assert (folder / "reserved.npz").read_bytes() == (folder / "other.npz").read_bytes()
    assert sorted(path.name for path in folder.glob("*.*")) == ["a.pth", "b.pth", "other.npz", "reserved.npz"]
