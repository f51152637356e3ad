"""The tables of the benchmarks, and their places in the documentation."""

import re

import pytest

from bench_utils import markdown


def test_only_what_is_between_the_markers_is_replaced(tmp_path):
    path = tmp_path / "page.md"
    before = "before\n<!-- begin: benchmarks/x.py cpu -->\nold\n<!-- end: benchmarks/x.py cpu -->\nafter\n"
    path.write_text(before, encoding="utf-8")
    markdown.write("x.py cpu", r"new \1", path)
    assert path.read_text(encoding="utf-8") == before.replace("old", r"new \1")
    with pytest.raises(SystemExit, match=r"page\.md: has no place for the tables: <!-- begin: benchmarks/y\.py -->"):
        markdown.write("y.py", "new", path)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("detect.py cpu float32", "benchmarks.md"),
        ("detect.py cuda float32", "benchmarks.md"),
        ("detect.py cuda tf32", "benchmarks.md"),
        ("detect.py cuda float16", "benchmarks.md"),
        ("engines.py", "benchmarks.md"),
        ("train_step.py cpu", "benchmarks.md"),
        ("train_step.py cuda", "benchmarks.md"),
        ("roi_ops.py cpu", "benchmarks.md"),
        ("roi_ops.py cuda", "benchmarks.md"),
        ("convolution.py cpu", "benchmarks.md"),
        ("convolution.py cuda", "benchmarks.md"),
        ("convert.py", "benchmarks.md"),
        ("parity.py classifiers", "models.md"),
        ("parity.py detectors", "models.md"),
        ("parity.py kuangliu", "models.md"),
    ],
)
def test_every_table_has_one_place(program, name):
    text = (markdown.DOCS / name).read_text(encoding="utf-8")
    begin, end = map(re.escape, markdown.markers(program))
    assert len(re.findall(f"{begin}\n.+?\n{end}", text, flags=re.DOTALL)) == 1
