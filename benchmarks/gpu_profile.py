"""Show where the time of a detection and of a training step goes: functions of the host, kernels of the GPU.

    python benchmarks/gpu_profile.py --device cuda
    python benchmarks/gpu_profile.py --device cuda --precision float16 --what predict

A Faster R-CNN on a ResNet-50 with random weights. The host is bound by functions where their time, which the profiler
doubles, is about that of a run and the kernels' is less. Kernels are listed where this interpreter has PyTorch, whose
profiler sees all those of the process.
"""

import argparse
import cProfile
import importlib.util
import pstats
from collections.abc import Callable

import chainfpn  # noqa: F401  # isort: skip
import chainer
import numpy as np
from chainercv.utils import read_image

from bench_utils.machine import Machine, add_device, run_with_environment
from bench_utils.training_step import Ours
from chainfpn import models
from chainfpn.data import photograph_path
from train_step import NETWORKS

#: Functions and kernels that are listed.
N_LINES = 25


def measure(run: Callable[[], object], machine: Machine, repeat: int) -> None:
    """Print how long a run takes, and of what.

    Args:
        run (callable): What is measured.
        machine (Machine): Where it runs.
        repeat (int): Runs.
    """
    print(f"Least of {repeat} runs: {machine.best(run, repeat) * 1000:.2f} ms\n", flush=True)
    with cProfile.Profile() as profile:
        for _ in range(repeat):
            run()
        machine.wait()
    print(f"Host, {repeat} runs:")
    pstats.Stats(profile).sort_stats("tottime").print_stats(N_LINES)
    if machine.on_gpu and importlib.util.find_spec("torch"):
        print_kernels(run, machine)


def print_kernels(run: Callable[[], object], machine: Machine) -> None:
    """Print the kernels of one run, those that take most first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        machine.wait()
    kernels = [(_device_time(event), event.count, event.key) for event in profiler.key_averages()]
    kernels = sorted((kernel for kernel in kernels if kernel[0] > 0), reverse=True)
    total, count = (sum(column) for column in list(zip(*kernels, strict=True))[:2])
    print(f"Kernels of one run: {total / 1000:.2f} ms in {count} launches and copies\n\n      us   n")
    for microseconds, n, name in kernels[:N_LINES]:
        print(f"{microseconds:8.0f} {n:3} {name[:100]}")
    print(flush=True)


def _device_time(event):
    """Return microseconds; older releases of PyTorch have another name for them."""
    return getattr(event, "self_device_time_total", None) or getattr(event, "self_cuda_time_total", 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser, "where (default: %(default)s)", default="cuda")
    parser.add_argument("--precision", choices=["float32", "tf32", "float16"], default="float32", help="of detection")
    parser.add_argument("--what", choices=["predict", "step"], nargs="+", default=["predict", "step"], help="what runs")
    parser.add_argument("--size", type=int, default=800, metavar="PIXELS", help="shorter side (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=8, metavar="N", help="runs (default: %(default)s)")
    arguments = parser.parse_args()
    run_with_environment(CUPY_TF32=str(int(arguments.precision == "tf32")))
    machine, img = Machine(arguments.device), read_image(str(photograph_path()))
    print(machine.signature(arguments.precision))
    if "predict" in arguments.what:
        dtype = np.dtype("float16" if arguments.precision == "float16" else "float32")
        with chainer.using_config("dtype", dtype):
            detector = models.fasterrcnn_resnet_fpn(50, n_fg_class=20, min_size=arguments.size)
            detector.to_device(machine.chainers_device)
            print("\n# Detection")
            measure(lambda: detector.predict([img]), machine, arguments.repeat)
    if "step" in arguments.what:
        step = Ours(NETWORKS["fasterrcnn_resnet50_fpn"], arguments.size, None, 1e-5, machine.chainers_device).step
        print("\n# Training step")
        measure(lambda: step(lambda stage: None), machine, arguments.repeat)


if __name__ == "__main__":
    main()
