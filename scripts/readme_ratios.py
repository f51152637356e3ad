"""Take README's ratios from docs/benchmarks.md.

python scripts/readme_ratios.py          # writes them; tests/test_site.py compares
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
README, BENCHMARKS = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: scripts/readme_ratios.py -->", "<!-- end: scripts/readme_ratios.py -->"

#: What README calls it: the program for a CPU and for a GPU, a heading, how the row begins, and the column.
ROWS = {
    "Faster R-CNN with a ResNet-50, from a photograph to boxes": (
        ("detect.py cpu float32", "detect.py cuda float32"), "", "| **all** |", "times as fast",
    ),
    "a training step of it": (
        ("train_step.py cpu", "train_step.py cuda"), "### fasterrcnn_resnet50_fpn, 800 pixels", "| **all** |",
        "as torchvision",
    ),
    "RoI Align, 7 x 7, forward and backward": (
        ("roi_ops.py cpu", "roi_ops.py cuda"), "", "| roi_align, 7x7, sampling 2 | and backward |", "times as fast",
    ),
    "non-maximum suppression of 10,000 boxes": (
        ("roi_ops.py cpu", "roi_ops.py cuda"), "Non-maximum suppression", "| 10,000 boxes,", "times as fast",
    ),
}  # fmt: skip


def block(page: str, program: str) -> str:
    """Return what a program wrote on the page."""
    begin, end = (f"<!-- {word}: benchmarks/{program} -->" for word in ("begin", "end"))
    return page.partition(begin)[2].partition(end)[0]


def ratio(text: str, heading: str, row: str, column: str) -> str:
    """Return a cell of the first table below a heading that has the row."""
    lines = text.partition(heading)[2].splitlines() if heading else text.splitlines()
    header = next(line for line in lines if line.startswith("|"))
    cells = next(line for line in lines if line.startswith(row))
    at = [name.strip() for name in header.split("|")].index(column)
    return cells.split("|")[at].strip()


def machine(text: str) -> str:
    """Return what a program ran on, with which its last line begins."""
    return text.rstrip().rpartition("\n")[2].partition(",")[0]


def table(page: str) -> str:
    """Return README's table.

    Args:
        page (str): docs/benchmarks.md.

    Returns:
        str: Markdown.
    """
    machines = [machine(block(page, program)) for program in ("detect.py cpu float32", "detect.py cuda float32")]
    lines = [f"| times as fast as torchvision, float32 | {' | '.join(machines)} |", "|---|--:|--:|"]
    for name, (programs, *where) in ROWS.items():
        lines.append(f"| {name} | {' | '.join(ratio(block(page, program), *where) for program in programs)} |")
    return "\n".join(lines)


def with_ratios(readme: str, page: str) -> str:
    """Return README with the ratios of docs/benchmarks.md between the markers."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{table(page)}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    README.write_text(with_ratios(README.read_text("utf-8"), BENCHMARKS.read_text("utf-8")), "utf-8")
