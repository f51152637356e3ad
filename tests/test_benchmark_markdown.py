"""The tables of the benchmarks, and their places in the documentation."""

import pathlib
import re

import pytest

import sitting
from bench_utils import markdown
from bench_utils.machine import Machine
from bench_utils.steps import Step, run_all


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
        ("detect.py cuda float32 cuda-graph", "benchmarks.md"),
        ("detect.py cuda tf32 cuda-graph", "benchmarks.md"),
        ("detect.py cuda float16 cuda-graph", "benchmarks.md"),
        ("engines.py", "benchmarks.md"),
        ("train_step.py cpu", "benchmarks.md"),
        ("train_step.py cuda", "benchmarks.md"),
        ("roi_ops.py cpu", "benchmarks.md"),
        ("roi_ops.py cuda", "benchmarks.md"),
        ("convolution.py cpu", "benchmarks.md"),
        ("convolution.py cuda", "benchmarks.md"),
        ("convert.py", "benchmarks.md"),
        ("detect_folder.py", "benchmarks.md"),
        ("soak.py", "benchmarks.md"),
        ("parity.py classifiers", "models.md"),
        ("parity.py detectors", "models.md"),
        ("parity.py kuangliu", "models.md"),
    ],
)
def test_every_table_has_one_place(program, name):
    text = (markdown.DOCS / name).read_text(encoding="utf-8")
    begin, end = map(re.escape, markdown.markers(program))
    assert len(re.findall(f"{begin}\n.+?\n{end}", text, flags=re.DOTALL)) == 1


def test_every_table_ends_with_machine_and_day():
    page = markdown.BENCHMARKS.read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- begin: \S+/(.+?) -->\n(.+?)\n<!-- end: ", page, re.DOTALL)
    lasts = {program: block.rpartition("\n")[2] for program, block in blocks if "\n|" in block}
    assert len(lasts) >= 10
    for program, last in lasts.items():
        assert re.match(r"\w[^;]+; \d{4}-\d\d-\d\d; .+\.$", last), program
    assert re.match(
        r"\w.+; \d{4}-\d\d-\d\d; load average before the run \d+\.\d; a; b\.$", Machine().signature("a", "b")
    )


def test_the_sitting_runs_every_benchmark_of_a_cpu_and_goes_on(tmp_path, capsys):
    programs = {path.stem for path in pathlib.Path(sitting.__file__).parent.glob("*.py")}
    others = {"gpu_check", "gpu_profile", "sitting", "parity"}  # parity times nothing
    assert [step.name for step in sitting.STEPS] == [pathlib.Path(step.command[0]).stem for step in sitting.STEPS]
    assert {step.name for step in sitting.STEPS} == programs - others
    steps = [
        Step("fails", 60, ("-c", "raise SystemExit(3)")),
        Step("hangs", 0.1, ("-c", "import time; time.sleep(60)")),
        Step("writes", 60, ("-c", "import sys; print(sys.argv[1:])"), tables=True),
    ]
    assert not run_all(steps, tmp_path / "out", 60, write=True)
    lines = [re.sub(r" +[\d.]+ s  ", ": ", line) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["fails: exit status 3", "hangs: stopped after 0 s", "writes: ok"]
    assert (tmp_path / "out" / "writes.txt").read_text() == "['--write']\n"
    assert run_all(steps[2:], tmp_path / "out", 60, write=False)
    assert not run_all(steps[2:], tmp_path / "out", 5, write=False)
    assert capsys.readouterr().out.endswith("left out: no time\n")
