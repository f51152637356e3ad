"""How a detector on an engine travels: pickled, copied, behind a fork, into threads."""

import copy
import os
import pickle
import subprocess
import sys
import tempfile
from unittest.mock import Mock

import numpy as np
import pytest

from chainfpn.errors import InvalidArgument
from reference.photographs import photographs
from reference.small_detectors import build_small

#: Loads a detector on an engine and detects; so do two processes that are forked, which end as Python ends, with 3.
PREFORK = """
import os, sys
from chainfpn import models
from chainfpn.data import photograph_path, weights_path
from chainercv.utils import read_image

img = read_image(str(photograph_path()))[:, ::4, ::4].copy()
detectors = [models.load(weights_path()).to_engine(name, threads=2) for name in ("chainer", "onnx")]
before = [detector.detect([img])[0] for detector in detectors]

def check():
    for detector, expected in zip(detectors, before):
        found, = detector.detect([img])
        assert len(found) and (found.bbox == expected.bbox).all() and (found.score == expected.score).all()

children = []
for _ in range(2):
    children.append(os.fork())
    if not children[-1]:
        check()
        sys.exit(3)
check()
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@pytest.fixture(scope="module")
def img():
    """A small photograph."""
    return [*photographs().values()][2]


@pytest.fixture(scope="module")
def detector():
    """A small RetinaNet, whose head is used on every level."""
    return build_small("retinanet_resnet_fpn")


def same(a, b):
    """Return whether two detections are the same to the bit, and some."""
    return len(a) > 0 and np.array_equal(a.bbox, b.bbox) and np.array_equal(a.score, b.score)


@pytest.mark.parametrize("conv", ["direct", "winograd"])
def test_a_pickle_has_the_weights_once_and_finds_the_same(conv, detector, img, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", conv)
    other = detector.to_engine("onnx", threads=1)
    (expected,) = other.detect([img])
    pickled = pickle.dumps(other)
    assert len(pickled) < 1.02 * sum(param.array.nbytes for param in detector.params())
    for again in (pickle.loads(pickled), copy.deepcopy(other), copy.copy(other), other.copy()):
        assert (type(again), again.engine) == (type(detector), "onnx")
        assert same(again.detect([img])[0], expected)
    assert copy.deepcopy(other).backbone is other.backbone  # which nothing can change
    twice = pickle.loads(pickle.dumps(pickle.loads(pickled)))
    assert same(twice.detect([img])[0], expected)


def test_without_a_folder_for_temporary_files(detector, img, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=FileNotFoundError))
    weights = detector.copy(mode="copy")
    other = weights.to_engine("onnx", threads=1)
    (expected,) = other.detect([img])
    for param in weights.params():
        param.array[...] = np.nan
    assert same(pickle.loads(pickle.dumps(other)).detect([img])[0], expected)


def test_files_travel_while_they_are_there_and_of_the_same_weights(detector, img, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = detector.to_engine("onnx", threads=1, cache="detector.onnx")
    (expected,) = other.detect([img])
    monkeypatch.chdir("/")
    pickled = pickle.dumps(other)
    weights = detector.copy(mode="copy")
    weights.head.regression_head.bbox_reg.b.array[...] += 0.1
    weights.to_engine("onnx", threads=1, cache=tmp_path / "detector.onnx")
    assert same(pickle.loads(pickled).detect([img])[0], expected)
    of_another = pickle.dumps(other)
    rule = "engine onnx: cache must be the file that the engine was made with, got "
    with pytest.raises(InvalidArgument, match=rule + "that of another detector"):
        pickle.loads(of_another)
    (tmp_path / "detector.onnx").unlink()
    with pytest.raises(InvalidArgument, match=rule + r".*detector\.onnx: No such file"):
        pickle.dumps(other)


def test_threads_that_were_not_given_are_those_of_the_process(detector, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pickled = pickle.dumps(detector.to_engine("onnx"))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    session = pickle.loads(pickled).backbone._image._session
    assert session.get_session_options().intra_op_num_threads == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_detectors_that_were_loaded_before_a_fork_detect_in_every_process():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PREFORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("[3, 3]\n", "")
