"""``chainfpn info``."""

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from chainfpn.cli import info
from chainfpn.cli.main import main


def test_the_report_is_one_screen(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert any(line.split()[:2] == ["NumPy", f"{np.__version__},"] for line in lines)


def test_json_has_the_same_lines(capsys):
    main(["info", "--json"])
    report = json.loads(capsys.readouterr().out)
    main(["info"])
    lines = capsys.readouterr().out
    missing = report.pop("missing")
    for text in [*report.values(), *missing.values()]:
        assert text in lines


@pytest.fixture
def without(monkeypatch):
    """Give a function that makes modules impossible to import."""

    def forbid(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return forbid


def test_what_is_missing_has_its_cost_and_its_command(without):
    without("numba", "onnxruntime", "cupy", "matplotlib")
    report = info.environment_report()
    assert report["Numba"] == "none: RoI operators and NMS run on NumPy, slower"
    assert report["missing"]["cpu"] == "python -m pip install 'numba'"
    assert report["missing"]["onnx"].startswith("python -m pip install ")
    assert "'cupy-cuda12x<14,>=13.6'" in report["missing"]["cuda12x"]
    assert "nvidia-cudnn-cu12" in report["missing"]["cuda12x"]
    assert report["missing"]["plot"] == "python -m pip install 'matplotlib'"
    assert "matrix multiplication" in report["cuDNN"]


def test_a_library_that_does_not_load_says_why(monkeypatch):
    def fail(name):
        raise ImportError(f"{name}: libmissing.so.1 not found")

    monkeypatch.setattr(importlib, "import_module", fail)
    assert info.environment_report()["Numba"].endswith("slower (numba: libmissing.so.1 not found)")


def test_a_source_tree_that_is_not_installed_has_commands_too(monkeypatch, without):
    def find(name):
        raise importlib.metadata.PackageNotFoundError(name)

    without("numba")
    monkeypatch.setattr(importlib.metadata, "distribution", find)
    command = info.environment_report()["missing"]["cpu"]
    folder = command.removeprefix("python -m pip install --editable '").removesuffix("[cpu]'")
    assert (Path(folder) / "setup.cfg").is_file()
