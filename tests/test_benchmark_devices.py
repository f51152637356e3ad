"""Every benchmark says where it runs: ``--device cuda`` runs it on a GPU, or is one sentence."""

import importlib
import pathlib
import re
import sys

import numpy as np
import pytest

import convolution
from bench_utils import roi_workload
from bench_utils.machine import Machine
from bench_utils.training_step import Network
from chainfpn import models
from reference import classifier_answers, detector_answers, fake_cupy

PROGRAMS = sorted(path.stem for path in pathlib.Path(__file__).parents[1].glob("benchmarks/*.py"))
#: Those that never run on a GPU, and a word of the reason.
OF_A_CPU = {"convert": "files", "engines": "a CPU's", "sitting": "a CPU's"}


def run(name, monkeypatch, *arguments):
    """Run a program here until it ends; return its status."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(name).main()
    return ended.value.code


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_the_option(name, monkeypatch, capsys):
    assert run(name, monkeypatch, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--device" in text
    assert OF_A_CPU.get(name, "{cpu,cuda}") in text


@pytest.mark.skipif(fake_cupy.is_installed(), reason="there is a device")
@pytest.mark.parametrize("name", sorted({*PROGRAMS} - {"gpu_check"}))  # which has commands that fail one by one
def test_no_gpu_is_one_sentence(name, monkeypatch, capsys):
    assert run(name, monkeypatch, "--device", "cuda") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert (OF_A_CPU.get(name) or "Chainer sees no CUDA device") in error


@pytest.mark.fake_gpu
def test_a_gpu_is_timed_by_events_and_no_map_is_left_in_its_cache(monkeypatch):
    assert (
        roi_workload.N_MAPS * np.prod(roi_workload.MAP) * 256 * 4 > 2 * 64e6
    )  # bytes; the L2 cache of an H200 has 60e6
    monkeypatch.setattr(roi_workload, "MAP", (5, 6))
    machine, made = Machine("cuda"), []
    event = machine.xp.cuda.Event
    monkeypatch.setattr(machine.xp.cuda, "Event", lambda: made.append(event()) or made[-1])
    rois = np.array([[0, 0, 16, 20]], np.float32)
    forward, both = roi_workload.our_runs(machine, "roi_align", 2, 3, {"sampling_ratio": 2}, rois)
    for run in (forward, both):
        sums = [float(run().array.sum()) for _ in range(2 * roi_workload.N_MAPS)]
        assert len(set(sums)) == roi_workload.N_MAPS
    assert machine.best(both, 3) >= 0
    assert len(made) == 2 * 3


def _shrink(program, monkeypatch):
    """Leave a program little to do, and no time to measure what the device can do."""
    network = Network(depth=18, stages=(1, 2), fpn_channels=16, head_channels=16, n_fg_class=1)
    for method, speed in (("operations", 1e12), ("copy_bandwidth", 1e11)):
        monkeypatch.setattr(Machine, method, lambda self, dtype=None, speed=speed: speed)
    best = Machine.best
    monkeypatch.setattr(Machine, "best", lambda self, run, repeat=None: best(self, run, 1))
    for variable in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("CUPY_TF32", "0")
    small = {
        "NETWORKS": {"fasterrcnn_resnet50_fpn": network}, "OPS": roi_workload.OPS[::4], "N_ROIS": 3, "NMS_SIZES": (10,),
        "LAYERS": (convolution.Layer(3, 4, 3, 1, 1, 8, 9),), "find": lambda: None,
    }  # fmt: skip
    for name in small.keys() & vars(program).keys():
        monkeypatch.setattr(program, name, small[name])
    monkeypatch.setattr(roi_workload, "MAP", (5, 6))
    build = models.fasterrcnn_resnet_fpn
    for name in ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet_fpn"):
        monkeypatch.setattr(models, name, lambda *depth, **options: build(**options | network._asdict()))


#: Programs of gpu_check, their arguments, and the figure that comes ahead of the table.
ON_A_CARD = {
    "detect": (
        ("--size", "64", "--repeat", "1", "--precision", "float16"),
        r"^chainfpn: [0-9.]+ s a detection in float16",
    ),
    "roi_ops": ((), r"^roi_align, 7x7, sampling 2, forward: [0-9.]+ ms"),
    "train_step": (
        ("--size", "64", "--repeat", "1", "--rounds", "1", "--threads", "1"),
        r"^chainfpn: [0-9.]+ s a step of ",
    ),
    "gpu_profile": (("--size", "64", "--repeat", "1"), ""),
    "convolution": ((), ""),
}


THOROUGH = {"train_step", "gpu_profile"}


@pytest.mark.fake_gpu
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough) if name in THOROUGH else name for name in ON_A_CARD]
)
def test_what_a_card_is_asked_for_runs_to_its_end(name, monkeypatch, capsys):
    program, (arguments, figure) = importlib.import_module(name), ON_A_CARD[name]
    _shrink(program, monkeypatch)
    monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", "--device", "cuda", *arguments])
    program.main()
    printed = capsys.readouterr()
    assert "a stand-in on the CPU, CuPy" in printed.out
    assert re.search(figure, printed.err, re.MULTILINE)


@pytest.mark.thorough
@pytest.mark.gpu
def test_parity_compares_what_a_gpu_computes():
    parts = (classifier_answers, "squeezenet1_1"), (detector_answers, "ssdlite320_mobilenet_v3_large")
    for answers, builder in parts:
        here, there = (answers.ours(builder, device=device) for device in ("@numpy", "@cupy:0"))
        here, there = (list(a.values()) if isinstance(a, dict) else a for a in (here, there))
        for a, b in zip(here[1:], there[1:], strict=True):
            assert classifier_answers.difference(b, a) < 1e-4
