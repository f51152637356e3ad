"""Show what this environment has, and how to get what is missing.

JSON has a text for each line, and under "missing" the command that installs
each thing.

Example:
  chainfpn info
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import chainfpn
from chainfpn.cli.options import add_json
from chainfpn.cli.output import json_output

#: What may be missing: the line, the module, what brings it (an extra of chainfpn, or a package), and what it costs.
_OPTIONAL = (
    ("Numba", "numba", "cpu", "RoI operators and NMS run on NumPy, slower"),
    ("CuPy", "cupy", "cuda12x", "no GPU is used"),
    ("mpi4py", "mpi4py", "mpi", "one process trains"),
    ("pycocotools", "pycocotools", "coco", "no COCO data sets of ChainerCV and no COCO evaluation"),
    ("Matplotlib", "matplotlib", "plot", "no plots"),
    ("ONNX", "onnx", "onnx", "no export to ONNX"),
    ("ONNX Runtime", "onnxruntime", "onnx", "no ONNX file is run, and detectors run on NumPy alone"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_json(parser, "report")


def run(arguments: argparse.Namespace) -> int:
    """Print the report."""
    report = environment_report()
    with json_output(arguments) as write:
        write(report)
        missing = report.pop("missing")
        for name, text in [*report.items(), *(("missing", command) for command in missing.values())]:
            print(f"{name:<14}{text}")
    return 0


def environment_report() -> dict[str, Any]:
    """Return the lines, name to text, and under ``missing`` the pip command for each thing that is not there."""
    import chainer
    import chainercv

    optional = {name: _optional_version(module, without) for name, module, _, without in _OPTIONAL}
    missing = {extra: _pip_command(extra) for name, _, extra, _ in _OPTIONAL if optional[name].startswith("none")}
    mpiexec = shutil.which("mpiexec")
    return {
        "chainfpn": chainfpn.__version__,
        "Python": f"{platform.python_version()}, {sys.executable}, {platform.platform()}",
        "Chainer": chainer.__version__,
        "ChainerCV": chainercv.__version__,
        "NumPy": f"{np.__version__}, {_blas()}",
        "CPU": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, {_threads()}",
        **optional,
        "GPUs": _gpus(),
        "cuDNN": _cudnn(),
        "MPI": _first_line([mpiexec, "--version"]) if mpiexec else "none: one process trains",
        "cache folder": chainer.dataset.get_dataset_root(),
        "missing": missing,
    }


def _optional_version(module: str, without: str) -> str:
    try:
        imported = importlib.import_module(module)
        return getattr(imported, "__version__", None) or importlib.metadata.version(module)
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) and error.name == module else f" ({error})"
        return f"none: {without}{reason}"


def _pip_command(extra: str) -> str:
    from packaging.requirements import Requirement

    try:
        requirements = map(Requirement, importlib.metadata.requires("chainfpn") or ())
    except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
        return f"python -m pip install --editable '{Path(chainfpn.__file__).parents[1]}[{extra}]'"
    wanted = [r for r in requirements if r.marker and extra in str(r.marker) and r.marker.evaluate({"extra": extra})]
    names = [f"'{r.name}{r.specifier}'" for r in wanted] or [extra]
    return " ".join(["python -m pip install", *names])


def _blas() -> str:
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


def _threads() -> str:
    variables = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    return ", ".join(f"{name}={os.environ[name]}" for name in variables if name in os.environ) or "one thread for each"


def _gpus() -> str:
    from chainer.backends import cuda

    if not cuda.available:
        return "none that CuPy can use"
    runtime = cuda.cupy.cuda.runtime
    try:
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
    except runtime.CUDARuntimeError as error:  # no driver
        return f"none: {error}"
    return ", ".join(names) or "none"


def _cudnn() -> str:
    from chainer.backends import cuda

    if cuda.cudnn_enabled:
        return str(cuda.cudnn.cudnn.getVersion())
    from chainfpn.functions.kernels import cudnn_backend, gpu_convolution, gpu_epilogue

    problem = gpu_convolution.cudnn_problem() if cuda.available else "CuPy can use no GPU"
    if problem:
        return f"none: a GPU convolves by matrix multiplication, slower ({problem})"
    way, problem = "by its graph API, for chainfpn's convolutions (CuPy has none)", gpu_epilogue.problem()
    fusion = f"after them ({problem})" if problem else "with them, where that is not slower"
    return f"{cudnn_backend.version()} {way}; bias, sum and ReLU {fusion}"


def _first_line(command: list[str]) -> str:
    output = subprocess.run(command, capture_output=True, text=True).stdout
    return output.partition("\n")[0]
