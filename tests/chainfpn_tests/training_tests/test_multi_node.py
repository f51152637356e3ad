"""Several processes do what one does with as many times the batch."""

import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from chainfpn import read_weights
from chainfpn.cli.main import main
from chainfpn.data import weights_path
from reference.processes import mpiexec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mpi")]

TESTS = pathlib.Path(__file__).parents[2]
#: What each of n processes runs, with a folder, and the shares of a batch of four: all at once, for a start takes long.
TOGETHER = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from reference import five_steps, sync_batch
folder, batch = sys.argv[1], int(sys.argv[2])
for norm in ("frozen", "batch"):
    five_steps.main(f"{{folder}}/{{norm}}.npz", batch, norm)
for shares in sys.argv[3:]:
    sync_batch.main(f"{{folder}}/{{shares}}.npz", *map(int, shares.split(",")))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory, mpi):
    """What one process wrote, and what two did: folders."""
    alone, together = (tmp_path_factory.mktemp(name) for name in ("alone", "together"))
    mpiexec(1, "-c", TOGETHER, alone, "4", "4")
    mpiexec(2, "-c", TOGETHER, together, "2", "2,2", "3,1")
    return alone, together


@pytest.mark.parametrize(("norm", "dtype", "tolerance"), [("frozen", "float32", 1e-6), ("batch", "float64", 1e-9)])
def test_two_train_as_one_with_twice_the_batch(norm, dtype, tolerance, found):
    alone, together = (read_weights(folder / f"{norm}.npz")[0] for folder in found)
    assert alone.keys() == together.keys()
    assert alone["backbone/body/conv1/W"].dtype == dtype
    for name, array in alone.items():
        np.testing.assert_allclose(
            together[name], array, rtol=tolerance if norm == "batch" else 0, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("shares", ["2,2", "3,1"])
def test_two_run_a_resnet_as_one_with_the_whole_batch(shares, found):
    with np.load(found[0] / "4.npz") as whole, np.load(found[1] / f"{shares}.npz") as parts:
        assert whole.files == parts.files
        assert len(whole.files) == 2 * (1 + 62 + 40)
        for name in whole.files:
            assert np.isfinite(whole[name]).all(), name
            tolerance = (3e-5 if name.startswith("float32") else 1e-12) * np.abs(whole[name]).max()
            np.testing.assert_allclose(parts[name], whole[name], rtol=0, atol=tolerance, err_msg=name)


def test_detect_shares_the_images(tmp_path, capsys):
    names = [f"{i}.jpg" for i in range(3)]
    for i, name in enumerate(names):
        Image.new("RGB", (64 + i, 48), (i, 99, 200)).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    images = [tmp_path / name for name in ("0.jpg", "broken.jpg", "1.jpg", "2.jpg")]
    for n in (1, 2):
        options = ["--json", tmp_path / f"{n}.json", "--out", tmp_path / str(n), "--score", "0.01"]
        command = ["detect", "--weights", weights_path(), *images, *options]
        if n == 1:
            assert main(list(map(str, command))) == 1
            stdout, stderr = capsys.readouterr()
        else:
            done = mpiexec(n, "-m", "chainfpn", *command, "--mpi", status=1)
            stdout, stderr = done.stdout, done.stderr
        assert stdout.count("image ") == 1
        assert f"3 pictures written to {tmp_path / str(n)}\n" in stdout
        assert stderr.count("broken.jpg: ") == 1
    assert json.loads((tmp_path / "1.json").read_text()) == json.loads((tmp_path / "2.json").read_text())
    assert sorted(os.listdir(tmp_path / "1")) == sorted(os.listdir(tmp_path / "2"))
