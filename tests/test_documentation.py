"""Every command and every snippet of the documentation runs.

Blocks of a page run in order, in one folder that has ``photo.jpg`` and ``person.pth``:

* ``console``: lines that start with ``$`` are commands; what follows must be what they print, if there is any
  (``...`` stands for anything);
* ``python``: one program per page, or an interactive session if it starts with ``>>>``.

Other languages are for reading. A block behind ``<!-- not run: REASON -->`` is left out, and listed with its reason.
"""

import doctest
import os
import pathlib
import re
import shutil
import subprocess
import sysconfig
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.exists()
]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
LANGUAGES = {"console", "python"}
READ_ONLY = {"", "text", "json", "ini", "toml", "diff", "mermaid"}


class Block(NamedTuple):
    language: str
    code: str
    line: int
    reason: str | None


def blocks(page):
    """Find the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["code"], text.count("\n", 0, match.start("code")), match["reason"])
        for match in BLOCK.finditer(text)
    ]


def commands(code):
    """Split a console block into commands and what they are said to print."""
    result = []
    for line in code.splitlines():
        if line.startswith("$ "):
            result.append([line[2:], ""])
        elif result and result[-1][0].endswith("\\"):
            result[-1][0] += "\n" + line
        elif result:
            result[-1][1] += line + "\n"
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the files that the pages speak of."""
    import weights_convert
    from chainfpn.data import photograph_path, weights_path

    folder = tmp_path_factory.mktemp("documentation")
    shutil.copy(photograph_path(), folder / "photo.jpg")
    weights_convert.convert(weights_path(), folder / "person.pth")
    return folder


def is_set_up():
    """Return whether ``make setup`` has nothing to do, so that it needs no network."""
    done = subprocess.run(["make", "--dry-run", "setup"], cwd=ROOT, capture_output=True, text=True)
    return done.returncode == 0 and "install" not in done.stdout


def run_console(code):
    """Run the commands of a block as a shell would, with those of this environment first; return what is left out."""
    left_out = []
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    for command, expected in commands(code):
        folder = ROOT if command.startswith("make ") else None
        if folder and not is_set_up():
            left_out.append(f"{command}: would set the project up")
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        if expected:
            same = doctest.OutputChecker().check_output(expected, done.stdout, doctest.ELLIPSIS)
            assert same, f"{command}\nprints\n{done.stdout}\nnot\n{expected}"
    return left_out


def run_python(code, namespace, name):
    """Run a block in the namespace of its page."""
    if not code.startswith(">>>"):
        exec(compile(code, name, "exec"), namespace)
        return
    examples = doctest.DocTestParser().get_doctest(code, namespace, name, name, 0)
    said = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, out=said.append, clear_globs=False)
    namespace.update(examples.globs)
    assert not failed, "".join(said)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, files, tmp_path, monkeypatch):
    for file in files.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace = {"__name__": "__main__"}
    left_out = []
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.reason is not None:
            left_out.append(f"{where}: {block.reason}")
        elif block.language == "console":
            left_out += run_console(block.code)
        elif block.language == "python":
            run_python(block.code, namespace, where)
    if left_out:
        print("not run:", *left_out, sep="\n  ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_language_that_runs_or_is_for_reading(page):
    for block in blocks(page):
        assert block.language in LANGUAGES | READ_ONLY, f"{page.name}:{block.line}: {block.language}"
    n_fences = len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert n_fences == 2 * len(blocks(page)), "a fence that is not understood"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_picture_is_what_the_demo_draws(tmp_path):
    """Up to a few shades: JPEG libraries differ."""
    import numpy as np

    from chainfpn.cli.main import main
    from chainfpn.images import read_image

    assert main(["demo", "--out", str(tmp_path)]) == 0
    picture = ROOT / "docs" / "images" / "demo.jpg"
    drawn, shown = (np.asarray(read_image(path), dtype=int) for path in (tmp_path / "astronaut_detected.jpg", picture))
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 1
    assert picture.stat().st_size < 150_000
