"""How fast, and in how much memory, is a 170 MB detector converted? Against ``torch.load`` + ``numpy.savez``.

Both run in processes of their own on the same file; the time is that of the work, without starting Python or importing
torch; the memory is the highest resident set of the whole process. Needs an interpreter with torch:
``CHAINFPN_TORCHVISION_PYTHON``, or python3.

    python benchmarks/convert.py [--repeats 5]
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

MAKE = """
import sys, torch, torchvision
torch.manual_seed(0)
net = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
torch.save(net.state_dict(), sys.argv[1])
torch.save(net.state_dict(), sys.argv[2], _use_new_zipfile_serialization=False)
"""

TORCH = """
import sys, time, numpy, torch
start = time.perf_counter()
state = torch.load(sys.argv[1], map_location="cpu")
numpy.savez(sys.argv[2], **{name: tensor.numpy() for name, tensor in state.items()})
"""

OURS = """
import sys, time, weights_convert
start = time.perf_counter()
weights_convert.convert(sys.argv[1], sys.argv[2])
"""

INSPECT = """
import sys, time, weights_convert
start = time.perf_counter()
weights_convert.inspect(sys.argv[1])
"""

#: Printed by each run: seconds of the work, and the process' highest resident set in MB.
REPORT = """
seconds = time.perf_counter() - start
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(seconds, peak)
"""


def find_torch():
    """Return an interpreter that has torchvision."""
    for python in (
        os.environ.get("CHAINFPN_TORCHVISION_PYTHON"),
        sys.executable,
        "/usr/bin/python3",
        shutil.which("python3"),
    ):
        if python and not subprocess.run([python, "-c", "import torchvision"], capture_output=True).returncode:
            return python
    raise SystemExit("no interpreter with torchvision found: name one by CHAINFPN_TORCHVISION_PYTHON")


def run(python, code, *arguments, path=None):
    """Run a snippet and return (seconds, MB)."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = path
    command = [python, "-W", "ignore", "-c", code + REPORT, *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return tuple(map(float, output.split()))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch, here = find_torch(), str(pathlib.Path(__file__).parents[1])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        files = {"zip": folder / "zip.pth", "legacy": folder / "legacy.pth"}
        subprocess.run([torch, "-W", "ignore", "-c", MAKE, *map(str, files.values())], check=True, capture_output=True)
        print(f"{'':24}{'torch + savez':>18}{'weights_convert':>18}{'ratio':>16}")
        for kind, file in files.items():
            rows = []
            for _ in range(repeats):  # in turns, so that a busy machine is busy for both
                theirs = run(torch, TORCH, file, folder / "theirs.npz")
                rows.append((*theirs, *run(sys.executable, OURS, file, folder / "ours.npz", path=here)))
            seconds, peak, our_seconds, our_peak = (statistics.median(column) for column in zip(*rows, strict=True))
            size = file.stat().st_size / 1e6
            print(
                f"{kind} {size:4.0f} MB, time      {seconds:16.2f} s{our_seconds:16.2f} s"
                f"{seconds / our_seconds:14.2f} x"
            )
            print(f"{kind} {size:4.0f} MB, peak memory{peak:15.0f} MB{our_peak:15.0f} MB{our_peak / peak:14.2f} x")
            seconds, peak = run(sys.executable, INSPECT, file, path=here)
            print(f"{kind} {size:4.0f} MB, --inspect{'':20}{seconds:14.2f} s, {peak:.0f} MB in all")


if __name__ == "__main__":
    main()
