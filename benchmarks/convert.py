"""How fast, and in how much memory, is a 168 MB detector converted? Against ``torch.load`` and ``numpy.savez``.

    python benchmarks/convert.py                 # print the table
    python benchmarks/convert.py --zip64         # a file of 4.6 GB as well: 14 GB of disk, 10 GB of memory
    python benchmarks/convert.py --write         # also put it into docs/benchmarks.md

Faster R-CNN with a ResNet-50 and a feature pyramid, in both serializations of torch. Both sides run in processes of
their own, in turns, from the same file to a new one in the same folder, each after the disk has caught up with the one
before; the time is that of the work, without starting Python or importing anything; the memory is the highest resident
set of the process. ``torch.load`` verifies no checksums and hashes nothing, we do both: the SHA-256 of the file alone,
for which its bytes go through one core, is the least that ours can take, and has a row of its own.
Needs an interpreter with torchvision: ``CHAINFPN_TORCHVISION_PYTHON``, or python3.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from bench_utils import markdown
from bench_utils.machine import Machine, refuse_gpus
from reference.torchvision_live import find

ROOT = pathlib.Path(__file__).resolve().parents[1]

MAKE = """
import sys, torch, torchvision
torch.manual_seed(0)
net = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
torch.save(net.state_dict(), sys.argv[1])
torch.save(net.state_dict(), sys.argv[2], _use_new_zipfile_serialization=False)
"""

MAKE_LARGE = """
import sys, torch
values = torch.rand(50_000_000)
torch.save({f"layer{i}.weight": values + i for i in range(23)}, sys.argv[1])
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
weights_convert.convert(sys.argv[1], sys.argv[2], model=sys.argv[3] or None, force=True)
"""

INSPECT = """
import sys, time, weights_convert
start = time.perf_counter()
weights_convert.inspect(sys.argv[1])
"""

HASH = """
import sys, time, weights_convert
start = time.perf_counter()
weights_convert.sha256(sys.argv[1])
"""

#: Printed by each run: seconds of the work, and the process' highest resident set in MB.
REPORT = """
seconds = time.perf_counter() - start
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(seconds, peak)
"""


def run(python: str, code: str, *arguments: object, path: str | None = None) -> tuple[float, float]:
    """Run a snippet and return (seconds, MB)."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = path
    command = [python, "-W", "ignore", "-c", code + REPORT, *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    seconds, megabytes = map(float, output.split())
    return seconds, megabytes


def compare(kind: str, torch: str, file: pathlib.Path, repeats: int, model: str = "") -> list[str]:
    """Return the rows of one file."""
    here, rows = str(ROOT), []
    new = file.with_suffix(".npz")

    def write(python: str, code: str, *arguments: object, path: str | None = None) -> tuple[float, float]:
        new.unlink(missing_ok=True)
        os.sync()
        return run(python, code, file, new, *arguments, path=path)

    for _ in range(repeats):  # in turns, so that a busy machine is busy for both
        row = (*write(torch, TORCH), *write(sys.executable, OURS, model, path=here))
        rows.append((*row, *run(sys.executable, HASH, file, path=here)))
    theirs, their_peak, ours, our_peak, limit, _ = (statistics.median(column) for column in zip(*rows, strict=True))
    seconds, peak = run(sys.executable, INSPECT, file, path=here)
    share = our_peak / their_peak
    return [
        f"| {kind}: time | {theirs:.2f} s | {ours:.2f} s | {theirs / ours:.2f}x as fast |",
        f"| {kind}: its limit, SHA-256 alone | | {limit:.2f} s | {theirs / limit:.2f}x as fast |",
        f"| {kind}: peak memory | {their_peak:.0f} MB | {our_peak:.0f} MB | {share:.2f}x as much |",
        f"| {kind}: `--inspect` | | {seconds:.2f} s, {peak:.0f} MB in all | |",
    ]


def measure(torch: str, repeats: int, *, zip64: bool) -> str:
    """Return the table in Markdown."""
    machine = Machine()
    lines = ["| | torch.load + numpy.savez | weights-convert | ratio |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        files = {"zip": folder / "zip.pth", "legacy stream": folder / "legacy.pth"}
        subprocess.run([torch, "-W", "ignore", "-c", MAKE, *map(str, files.values())], check=True, capture_output=True)
        for kind, file in files.items():
            lines += compare(kind, torch, file, repeats)
        if zip64:
            large = folder / "large.pth"
            subprocess.run([torch, "-W", "ignore", "-c", MAKE_LARGE, str(large)], check=True, capture_output=True)
            lines += compare("4.6 GB, ZIP64, once", torch, large, 1, "any")
    return "\n".join([*lines, "", machine.signature(f"medians of {repeats}")])


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--zip64", action="store_true", help="measure a file of 4.6 GB, too")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    refuse_gpus(parser, "a conversion reads and writes files: nothing of it runs on a GPU")
    arguments = parser.parse_args()
    live = find()
    if live is None:
        raise SystemExit("no interpreter with torchvision found: name one by CHAINFPN_TORCHVISION_PYTHON")
    table = measure(live.python, arguments.repeats, zip64=arguments.zip64)
    markdown.show("convert.py", table, write_too=arguments.write)


if __name__ == "__main__":
    main()
