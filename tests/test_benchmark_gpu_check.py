"""The check for a GPU, and what runs it: steps one after the other, whatever becomes of one of them."""

import pathlib

import pytest

import gpu_check
from bench_utils import steps
from bench_utils.steps import Step, run_all

OUT = pathlib.Path("/a/folder")


def test_figures_that_have_a_goal_come_first_and_in_time():
    found = list(gpu_check.steps("cuda", small=False, out=OUT))
    first = ["info", "detect-float32", "detect-float16", "roi_ops", "train_step"]
    assert [step.name for step in found[:5]] == first
    assert sum(step.seconds for step in found[:5]) <= 300 < 480  # seconds of the budget
    assert max(step.seconds for step in found) <= 120
    graphs = ["detect-float32-graph", "detect-float16-graph"]
    last = ["detect-tf32", "detect-tf32-graph", "convolution"]
    assert [step.name for step in found if step.tables] == [*first[1:], *graphs, *last]


@pytest.mark.parametrize(("device", "small"), [("cuda", False), ("cpu", True)])
def test_random_weights_are_made_once(device, small):
    commands = [step.command for step in gpu_check.steps(device, small, OUT) if step.name.startswith("detect")]
    assert [command[command.index("--weights") + 1] for command in commands] == [str(OUT)] * (1 if small else 6)


def test_a_step_that_fails_or_hangs_keeps_what_it_printed_and_the_next_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(steps, "GRACE", 0.5)
    hang = "import signal, time; print('a figure'); time.sleep(60)"
    wanted = [
        Step("fails", 9, ("-c", "print('one'); raise SystemExit(3)")),
        Step("hangs", 2, ("-c", hang)),
        Step("well", 9, ("-c", "import sys; print(sys.argv[1:])"), tables=True),
    ]
    assert not run_all(wanted, tmp_path, 60, write=True)
    outcomes = [line.split(" s  ")[1] for line in capsys.readouterr().out.splitlines()]
    assert outcomes == ["exit status 3", "stopped after 2 s", "ok"]
    printed = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert printed["fails"] == "one\n"
    assert printed["hangs"].startswith("a figure\n")
    assert "most recent call first" in printed["hangs"]  # where it was
    assert printed["well"] == "['--write']\n"


def test_without_tables_or_time_nothing_is_written_and_nothing_runs(tmp_path, capsys):
    step = Step("well", 9, ("-c", "import sys; print(sys.argv[1:])"))
    assert run_all([step], tmp_path, 60, write=True)
    assert (tmp_path / "well.txt").read_text(encoding="utf-8") == "[]\n"
    assert not run_all([step._replace(name="late")], tmp_path, 5, write=False)
    assert "late" in capsys.readouterr().out
    assert not (tmp_path / "late.txt").exists()
