"""benchmarks/speeds.py times models of every kind, and keeps what it found."""

import json

import pytest

import speeds
from bench_utils.machine import Machine


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "ssdlite320_mobilenet_v3_large", "fpn101"])
def test_a_model_is_timed(name):
    assert speeds.milliseconds(name, Machine(), repeat=1) > 0


@pytest.mark.gpu
def test_a_model_is_timed_on_a_gpu():
    assert speeds.milliseconds("mobilenet_v3_small", Machine("cuda"), repeat=1) > 0


def test_a_model_that_fails_stops_no_other_and_another_days_figures_go(monkeypatch, tmp_path, capsys):
    def milliseconds(name, machine):
        if name == "resnet34":
            raise MemoryError("no room")
        return 2.5

    monkeypatch.setattr(speeds, "milliseconds", milliseconds)
    monkeypatch.setattr(speeds, "SPEEDS", tmp_path / "speeds.json")
    speeds.SPEEDS.write_text('{"machine": "another", "milliseconds": {"swin_t": 1}}')
    monkeypatch.setattr("sys.argv", ["speeds.py", "resnet34", "resnet50", "resnet18", "--write"])
    with pytest.raises(SystemExit) as exit_:
        speeds.main()
    assert exit_.value.code == 1
    assert "resnet34                                      fails: MemoryError: no room\n" in capsys.readouterr().out
    content = json.loads(speeds.SPEEDS.read_text())
    assert content["milliseconds"] == {"resnet18": 2.5, "resnet50": 2.5}
    assert content.keys() == {"machine", "date", "milliseconds"}
    speeds.keep({"swin_t": 3.5}, Machine())
    assert json.loads(speeds.SPEEDS.read_text())["milliseconds"]["resnet50"] == 2.5
