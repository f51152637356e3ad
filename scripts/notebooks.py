"""Make a notebook of every example: examples/NAME.ipynb from examples/NAME.py.

    python scripts/notebooks.py          # tests/test_examples.py compares, and runs the cells

A cell for the imports, for each function and class, and for each command that the docstring has below "To try it on
little". Notebooks run in their own folder, with a kernel of the environment that has chainfpn.
"""

import ast
import json
import pathlib
import re
import shlex
from typing import Any

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
TRY = "To try it on little:\n"

#: Writes data for the others.
HELPER = "sample_data"


def programs() -> list[pathlib.Path]:
    """Return the examples that become notebooks."""
    return sorted(path for path in EXAMPLES.glob("*.py") if path.stem != HELPER)


def commands(docstring: str) -> list[list[str]]:
    """Return the commands to try an example with, split as a shell does."""
    _, _, text = docstring.partition(TRY)
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def to_cell(name: str, command: list[str]) -> str:
    """Return what a command is in a notebook, where the example is defined already."""
    if command[0] != "python":  # of this environment, and with what it prints below the cell
        words = [json.dumps(word.replace("examples/", "")) for word in command]
        words[words.index('"python"')] = "sys.executable"
        clean = "environment = dict(os.environ)  # without what an MPI of this process has added below Python"
        run = f"{clean}\ndone = subprocess.run(command, capture_output=True, text=True, env=environment)"
        show = "print(done.stdout)\nassert done.returncode == 0, done.stderr"
        return f"import os\nimport subprocess\nimport sys\n\ncommand = [{', '.join(words)}]\n{run}\n{show}"
    program, arguments = pathlib.Path(command[1]).stem, json.dumps(command[2:])
    return f"main({arguments})" if program == name else f"import {program}\n\n{program}.main({arguments})"


def cells(path: pathlib.Path) -> list[tuple[str, str]]:
    """Return the cells of an example: their kinds, and what is in them."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstring = ast.get_docstring(tree) or ""
    title, _, text = docstring.partition(TRY)[0].partition("\n")
    text = text.strip("\n")
    found = [("markdown", f"# {title}\n\n{text}")]
    lines = source.splitlines()
    begin, preamble = tree.body[0].end_lineno or 0, True
    for node in tree.body[1:]:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        first = min([node, *node.decorator_list], key=lambda part: part.lineno).lineno - 1
        if preamble:
            found.append(("code", tidy(lines[begin:first])))
            preamble = False
        found.append(("code", tidy(lines[first : node.end_lineno])))
    found.append(("markdown", "## To try it on little"))
    return [*found, *(("code", to_cell(path.stem, command)) for command in commands(docstring))]


def tidy(lines: list[str]) -> str:
    """Return lines without what is for the linter, and without blank lines around them."""
    text = re.sub(r"# isort: split\n+", "", "\n".join(lines))
    return re.sub(r"  # noqa: \w+  \((.+)\)", r"  # \1", text).strip()


def notebook(path: pathlib.Path) -> str:
    """Return the notebook of an example."""
    made: list[dict[str, Any]] = []
    for i, (kind, text) in enumerate(cells(path)):
        cell = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text.splitlines(keepends=True)}
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for program in programs():
        program.with_suffix(".ipynb").write_text(notebook(program), encoding="utf-8")
