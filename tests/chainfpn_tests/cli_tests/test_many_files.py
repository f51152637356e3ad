"""``chainfpn detect`` on 300 files of all kinds: bad ones are named, the memory stays flat, a kill loses nothing."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from chainfpn import models, save_weights

N, BAD = 300, {7: b"", 50: b"no image", 101: None, 150: "cut", 202: "cut", 299: b"\xff\xd8\xff\xe0 short"}
_MAXRSS = "import resource; print('maxrss', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
_RUN = f"import sys; from chainfpn.cli.main import main; status = main(sys.argv[1:]); {_MAXRSS}; sys.exit(status)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """300 files, and a small detector."""
    folder, rng = tmp_path_factory.mktemp("many"), np.random.RandomState(0)
    suffixes, modes = (".jpg", ".png", ".webp", ".bmp", ".gif", ".tif"), ("RGB", "L", "RGB", "P", "RGB", "L")
    names = []
    for i in range(N):
        path = folder / f"{i:03}{suffixes[i % 6]}"
        image = Image.fromarray(rng.randint(0, 255, (*rng.randint(20, 90, 2), 3), dtype=np.uint8))
        image.convert(modes[i % 6]).save(path)
        content = BAD.get(i, "good")
        if content == "cut":
            path.write_bytes(path.read_bytes()[:300])
        elif content is None:
            path.unlink()
        elif content != "good":
            path.write_bytes(content)
        names.append(path.name)
    (folder / "all.txt").write_text("\n".join(names) + "\n")
    (folder / "some.txt").write_text("\n".join(names[:40]) + "\n")
    np.random.seed(0)
    options = {"stages": (3, 4), "fpn_channels": 16, "head_channels": 32, "min_size": 64, "max_size": 64}
    save_weights(folder / "net.npz", models.fasterrcnn_resnet_fpn(18, 2, label_names=["a", "b"], **options))
    return folder


def detect(folder, files, name, *options):
    """Run the command on a list: status, problems, and the largest memory in KiB."""
    command = ["detect", files, "--weights", "net.npz", "--score", "0.3", "--json", name, "--out", "out", *options]
    done = subprocess.run([sys.executable, "-c", _RUN, *command], cwd=folder, capture_output=True, text=True)
    *problems, last = [line for line in done.stderr.splitlines() if not line.startswith("Numba compiles ")]
    return done.returncode, problems, int(last.removeprefix("maxrss "))


@pytest.fixture(scope="module")
def whole(folder):
    return detect(folder, "all.txt", "whole.jsonl")


@pytest.mark.slow
def test_bad_files_are_named_and_the_others_done(folder, whole):
    status, problems, _ = whole
    assert status == 1
    assert sorted(int(problem[:3]) for problem in problems) == sorted(BAD)
    records = [json.loads(line) for line in (folder / "whole.jsonl").read_text().splitlines()]
    assert [int(record["file"][:3]) for record in records] == [i for i in range(N) if i not in BAD]
    assert len(list((folder / "out").iterdir())) == N - len(BAD)


@pytest.mark.slow
def test_the_memory_is_that_of_few(folder, whole):
    _, _, few = detect(folder, "some.txt", "some.jsonl")
    assert whole[2] < few + (20 << 10)


@pytest.mark.thorough
def test_what_is_killed_is_resumed_to_the_same(folder, whole):
    path = folder / "killed.jsonl"
    command = ["detect", "all.txt", "--weights", "net.npz", "--score", "0.3", "--json", path.name, "--out", "out"]
    devnull = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "chainfpn", *command], cwd=folder, **devnull)
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 60):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    stopped = path.read_text().splitlines()
    assert 60 <= len(stopped) < N - len(BAD)
    assert all(isinstance(json.loads(line), dict) for line in stopped)
    assert detect(folder, "all.txt", path.name, "--resume")[0] == 1
    assert path.read_bytes() == (folder / "whole.jsonl").read_bytes()
