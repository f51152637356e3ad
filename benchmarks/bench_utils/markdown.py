"""The pages of the documentation that tables go into."""

import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
BENCHMARKS = DOCS / "benchmarks.md"


def markers(program: str) -> tuple[str, str]:
    """Return what stands before and after the output of a program: ``detect.py``, say, or ``roi_ops.py cpu``."""
    return f"<!-- begin: benchmarks/{program} -->", f"<!-- end: benchmarks/{program} -->"


def show(program: str, section: str, *, write_too: bool) -> None:
    """Print what goes between the markers of a program, and put it there if asked to.

    Args:
        program (str): See :func:`markers`.
        section (str): Markdown.
        write_too (bool): Put it into docs/benchmarks.md.
    """
    print(section)
    if write_too:
        write(program, section)


def write(program: str, section: str, page: pathlib.Path = BENCHMARKS) -> None:
    """Replace what is between the markers of a program.

    Args:
        program (str): See :func:`markers`.
        section (str): Markdown.
        page (path): Where the markers are.
    """
    begin, end = markers(program)
    text = page.read_text(encoding="utf-8")
    old = f"{re.escape(begin)}.*{re.escape(end)}"
    text, n = re.subn(old, lambda _: f"{begin}\n{section}\n{end}", text, flags=re.DOTALL)
    if n != 1:
        sys.exit(f"{page.name}: has no place for the tables: {begin}")
    page.write_text(text, encoding="utf-8")
