"""Run the commands and snippets of a page of the documentation, as someone would who types them in a bare clone.

Blocks of a page run in order, in the folder of a clone:

* ``console``: lines that start with ``$`` are commands; what follows must be what they print, if there is any
  (``...`` stands for anything);
* ``python``: one program per page, or an interactive session if it starts with ``>>>``.

Other languages are for reading. A block behind ``<!-- not run: REASON -->`` is left out, and listed with its reason.
"""

import contextlib
import doctest
import importlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)

#: Where our commands are, and what needs a shell.
_MODULES = {"chainfpn": "chainfpn.cli.main", "weights-convert": "weights_convert.__main__"}
_SHELL = re.compile(r"[|&;<>$`*?~\\\n]")

#: What a command says only where it is the first one.
_FIRST_TIME = "Numba compiles "


class Block(NamedTuple):
    """One fenced block of a page.

    Attributes:
        language (str): What follows the fence.
        code (str): The lines.
        line (int): Where they begin.
        reason (str or None): Why they are not run.
    """

    language: str
    code: str
    line: int
    reason: str | None


class Mismatch(Exception):
    """A command that fails, or prints something else than the page says."""


def blocks(page: pathlib.Path) -> list[Block]:
    """Find the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["code"], text.count("\n", 0, match.start("code")), match["reason"])
        for match in BLOCK.finditer(text)
    ]


def commands(code: str) -> list[list[str]]:
    """Split a console block into pairs: a command, and what it is said to print."""
    result: list[list[str]] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            result.append([line[2:], ""])
        elif result and result[-1][0].endswith("\\"):
            result[-1][0] += "\n" + line
        elif result:
            result[-1][1] += line + "\n"
    return result


def copy_clone(folder: pathlib.Path) -> None:
    """Make a folder look like a bare clone, by links to what git keeps; new files go into the folder itself.

    Of an unpacked source distribution, which git does not know, everything is linked.
    """
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for name in {line.partition("/")[0] for line in listed.splitlines() or os.listdir(ROOT)}:
        (folder / name).symlink_to(ROOT / name)


def run_page(page: pathlib.Path, *, own_interpreters: bool = True) -> list[str]:
    """Run a page in the current folder, which looks like a clone.

    Args:
        page (pathlib.Path): The page.
        own_interpreters (bool): Start an interpreter for each of our commands; else they run in this process if they
            need no shell.

    Returns:
        list of str: What was left out, and why.

    Raises:
        Mismatch: if a command fails or prints something else.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    left_out = []
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.reason is not None:
            left_out.append(f"{where}: {block.reason}")
        elif block.language == "console":
            run_console(block.code, own_interpreters=own_interpreters)
        elif block.language == "python":
            run_python(block.code, namespace, where)
    return left_out


def run_console(code: str, *, own_interpreters: bool = True) -> None:
    """Run the commands of a block as a shell would, with those of this environment first."""
    for command, expected in commands(code):
        is_ours = command.split()[0] in _MODULES and not _SHELL.search(command)
        status, output = in_this_process(command) if is_ours and not own_interpreters else in_a_shell(command)
        if status:
            raise Mismatch(f"{command}\n{output}")
        printed = "".join(line for line in output.splitlines(True) if not line.startswith(_FIRST_TIME))
        if expected and not doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS):
            raise Mismatch(f"{command}\nprints\n{printed}\nnot\n{expected}")


def in_a_shell(command: str) -> tuple[int, str]:
    """Run a command: its status, and what it prints."""
    scripts = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


def in_this_process(command: str) -> tuple[int, str]:
    """Run one of our commands without an interpreter of its own: its status, and what it prints."""
    name, *arguments = shlex.split(command)
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = importlib.import_module(_MODULES[name]).main(arguments)
        except SystemExit as stop:
            status = stop.code
    return status or 0, output.buffer.getvalue().decode()


def run_python(code: str, namespace: dict[str, Any], name: str) -> None:
    """Run a block in the namespace of its page."""
    if not code.startswith(">>>"):
        exec(compile(code, name, "exec"), namespace)
        return
    examples = doctest.DocTestParser().get_doctest(code, namespace, name, name, 0)
    printed: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, out=printed.append, clear_globs=False)
    namespace.update(examples.globs)
    if failed:
        raise Mismatch("".join(printed))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(
            path, *(f"  not run: {reason}" for reason in run_page(pathlib.Path(path).resolve())), sep="\n", flush=True
        )
