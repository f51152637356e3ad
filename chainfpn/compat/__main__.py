"""Run a program that knows nothing of chainfpn, on a Chainer that works.

    python -m chainfpn.compat script.py ARGUMENTS...
    python -m chainfpn.compat -m module ARGUMENTS...

The Python processes that the program starts have the same Chainer. Without arguments the table of shims is printed,
as Markdown.
"""

import os
import pathlib
import runpy
import sys

from chainfpn.compat import TABLE

_HERE = pathlib.Path(__file__).parent


def main(argv: list[str]) -> None:
    """Run the program as ``python`` would run it, or print the table.

    Args:
        argv (list of str): The command line of the program, after ``python``.
    """
    if not argv:
        print(render(), end="")
        return
    if argv[0] in ("-h", "--help"):
        print(__doc__, end="")
        return
    folders = [str(_HERE / "children"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    if str(_HERE.parents[1]) not in sys.path[1:]:
        sys.path.append(str(_HERE.parents[1]))  # chainfpn may have been found in the current folder alone
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = argv, str(pathlib.Path(argv[0]).resolve().parent)
        runpy.run_path(argv[0], run_name="__main__")


def render() -> str:
    """Return the table of shims as Markdown, a line per row."""
    lines = ["| missing or broken | since | needed by | stand-in |", "|---|---|---|---|"]
    for shim in TABLE:
        name = shim.name.replace("|", r"\|")
        needed_by = shim.needed_by.replace("__init__", "`__init__`")
        lines.append(f"| `{name}` | {shim.since} | {needed_by} | {shim.stand_in} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
