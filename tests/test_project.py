"""What the project says about itself in more than one place is the same everywhere."""

import ast
import configparser
import pathlib
import re

import pytest

from chainfpn import install
from chainfpn.compat.__main__ import render

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def test_files_and_functions_are_short():
    """Of at most 300 lines, and of 50 beside the docstring; docs/architecture.md says which one file is read whole."""
    long = set()
    for path in (path for package in ("chainfpn", "weights_convert") for path in (ROOT / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 300:
            long.add(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                parts = [node, *(node.body[:1] if ast.get_docstring(node) else [])]
                n_lines = [part.end_lineno - part.lineno + 1 for part in parts]
                if n_lines[0] - sum(n_lines[1:]) > 50:
                    long.add(f"{path.name}: {node.name}")
    assert long == {"roi_heads.py"}
    assert "`roi_heads.py` is the one file of more than\n300 lines" in (ROOT / "docs" / "architecture.md").read_text()


def test_pre_commit_runs_what_make_lint_does_without_a_network(setup_cfg):
    """Each is of one version, and lives in the environment of ``make setup``."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^lint: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    linted = re.findall(r"\$\(BIN\)/(\w+(?: [a-z][\w/.]+)?)", recipe)
    assert linted == ["ruff check", "ruff format", "mypy", "python scripts/dead_code.py"]
    assert linted == re.findall(r"entry: \.venv/bin/(\w+(?: [a-z][\w/.]+)?)", hooks)
    installed = re.findall(r"^(\w+)==\S+$", setup_cfg["options.extras_require"]["test"], re.MULTILINE)
    assert {"ruff", "mypy", "vulture"} <= set(installed)


def test_the_documented_table_is_the_table():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- compat table -->\n(.*)<!-- end of compat table -->", page, re.DOTALL)
    assert table == render(), "docs/install.md: paste the output of python -m chainfpn.compat"


def test_the_documented_extras_are_the_extras(setup_cfg):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| extra | brings | for |\n|---|---|---|\n")
    names = re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE)
    assert names == list(setup_cfg["options.extras_require"])


def test_the_tests_install_what_the_other_extras_bring_on_a_cpu(setup_cfg):
    extras = {name: set(words.split()) for name, words in setup_cfg["options.extras_require"].items()}
    for name in ("cpu", "coco", "plot", "onnx", "openvino"):
        assert extras[name] <= extras["test"], name


def test_the_versions_of_chainer_are_those_of_the_installer(setup_cfg):
    assert {install.CHAINER, install.CHAINERCV} <= set(setup_cfg["options"]["install_requires"].split())


def test_tests_are_collected_without_an_mpi_and_torch():
    """A module that imports either at its top is in collect_ignore: doctests are looked for in every module."""
    importing = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if re.search("^(?:import|from) (?:mpi4py|torch)", text, re.MULTILINE):  # some in a snippet's text
            nodes = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            names = [getattr(node, "module", None) or node.names[0].name for node in nodes]
            if any(re.match("mpi4py|torch", name) for name in names):
                importing.add(path.relative_to(ROOT / "tests").as_posix())
    conftest = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    ignored = ast.literal_eval(re.search(r"^collect_ignore = (.*)$", conftest, re.MULTILINE)[1])
    assert importing == set(ignored)
