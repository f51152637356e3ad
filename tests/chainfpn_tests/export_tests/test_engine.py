"""ONNX Runtime as an engine: what is detected is what Chainer's engine detects, and what it cannot do is said."""

import shutil
import sys
from unittest.mock import Mock

import chainer
import numpy as np
import onnx
import pytest

import chainfpn
from chainfpn import models
from chainfpn.data import weights_path
from chainfpn.errors import InvalidArgument
from chainfpn.export import division, engine
from chainfpn.export.dense import dense_graph
from chainfpn.export.graph import Graph
from chainfpn.functions.kernels.threads import default_threads
from chainfpn.links import Preprocess
from chainfpn.training import TrainChain
from reference.agreement import disagreement
from reference.photographs import photographs
from reference.small_detectors import SMALL, build_small

pytestmark = pytest.mark.slow  # whole networks and trainings, all of them together


#: At how many sums of a pyramid ONNX Runtime can stop; kuangliu's pyramid is another.
N_SUMS = {name: 4 if "rcnn" in name else 2 if name == "ssd" else 3 for name in SMALL if name != "retinanet_kuangliu"}


def outputs_of(name, *, divided):
    """Return what ONNX Runtime computes of a batch, without the numbers of levels unless it stops at the sums."""
    if divided:
        body = {"body"} if name == "retinanet_resnet_fpn_v2" else set()  # which P6 is made from
        return {f"sum.{level}" for level in range(N_SUMS[name])} | body
    return {"map", "logits", "deltas", *(["centers"] if "fcos" in name else [])}


def check(detector, other, imgs):
    """Compare what two engines detect."""
    compare(other.detect(imgs), detector.detect(imgs))


def compare(detections, others):
    """Compare detections of images."""
    for found, expected in zip(detections, others, strict=True):
        assert len(expected) > 0
        assert disagreement(found, expected) == ""


@pytest.fixture
def sessions(monkeypatch):
    """What ONNX Runtime is given from now on."""
    made = []

    class Session(engine.Session):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(engine, "Session", Session)
    return made


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "retinanet_kuangliu" else name for name in SMALL]
)
def test_every_photograph_alone_and_as_a_batch(name, sessions, monkeypatch):
    detector, imgs = build_small(name), [*photographs().values()]
    expected = detector.detect(imgs)
    for conv in ("direct", "winograd") if name in N_SUMS else ("winograd",):
        monkeypatch.setenv("CHAINFPN_CONV", conv)
        other = detector.to_engine("onnx", threads=1)
        assert type(other) is type(detector)
        assert (detector.engine, other.engine) == ("chainer", "onnx")
        compare(other.detect(imgs), expected)
        image, divided = sessions[0], conv == "winograd" and name in N_SUMS
        names = image.outputs if divided else [output.partition(".")[0] for output in image.outputs]
        assert (image.is_divided, set(names)) == (divided, outputs_of(name, divided=divided))
        sessions.clear()
    for img in imgs:
        check(detector, other, [img])


@pytest.mark.parametrize(("side", "by_rule", "measured"), [(31, False, None), (32, False, 32), (200, True, 64)])
def test_divided_where_it_is_faster(side, by_rule, measured, detector, monkeypatch):
    def is_faster(*given):
        assert given[:2] == (by_rule, measured and ("pyramid", 32, measured))
        ours, theirs = (run()["y"].array for run in given[2:])
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        return "as it says"

    def make_run(part):
        return engine.Session(dense_graph(part, {}).model("part", {}).SerializeToString(), 1).run

    monkeypatch.setattr(division, "is_winograd", is_faster)
    monkeypatch.setattr(division, "_finest_size", lambda detector: (side + 1, side))
    assert division.pays(detector, make_run) == "as it says"


def test_a_photograph_of_usual_sides_is_meant(detector):
    assert division._finest_size(detector) == [32, 40]


def test_not_divided_where_it_cannot_be(detector, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", "winograd")
    run = pytest.fail
    assert division.pays(detector, run)
    fpn = detector.backbone.fpn
    with monkeypatch.context() as patch:
        patch.setattr(fpn, "extra_blocks", lambda ps, hs: [ps[-1]])
        assert not division.pays(detector, run)
    with monkeypatch.context() as patch:
        patch.setattr(fpn, "__class__", type("Other", (type(fpn),), {}))
        assert not division.pays(detector, run)
    monkeypatch.setattr(division, "import_compiled", lambda name: None)
    assert not division.pays(detector, run)


def test_one_image_is_not_worth_a_measurement(detector, monkeypatch):
    monkeypatch.delenv("CHAINFPN_CONV", raising=False)
    monkeypatch.setattr(division, "is_winograd", lambda *given: True)
    assert [division.pays(detector, pytest.fail, n) for n in (None, 2, 1)] == [True, True, False]
    monkeypatch.setenv("CHAINFPN_CONV", "rules")
    assert division.pays(detector, pytest.fail, 1)
    given = []
    monkeypatch.setattr(division, "pays", lambda *args: given.append(args[2]))
    monkeypatch.setattr(engine, "dense_graph", Mock())
    monkeypatch.setattr(engine, "Session", Mock())
    monkeypatch.setattr(engine, "write_models", Mock())
    for n, cache in ((1, None), (3, None), (1, "detector.onnx")):  # whose files are used again
        detector.to_engine("onnx", n_images=n, cache=cache)
    assert given == [1, 3, None]


def test_under_the_rules_of_detectron2():
    detector = build_small("maskrcnn_resnet_fpn", rules="detectron2", image_std=(57.375, 57.12, 58.395))
    check(detector, detector.to_engine("onnx", threads=1), [*photographs().values()][2:])


@pytest.fixture(scope="module")
def detector():
    """A small Faster R-CNN."""
    return build_small("fasterrcnn_resnet_fpn")


@pytest.fixture(scope="module")
def other(detector):
    """The same on ONNX Runtime."""
    return detector.to_engine("onnx", threads=1)


def test_presets_and_settings_are_its_own(detector, other):
    other.use_preset("visualize")
    other.preprocess = Preprocess(96, 160)
    assert other.score_thresh == 0.7
    try:
        (img,) = [*photographs().values()][2:]
        assert other.prepare([img])[0].shape[2:] == (96, 160)
        assert detector.prepare([img])[0].shape[2:] == (128, 192)
        (visible,) = other.detect([img])
        assert (visible.score > 0.7).all()
    finally:
        other.use_preset("evaluate")
        detector.use_preset("evaluate")
        other.preprocess = detector.preprocess


@pytest.mark.parametrize("conv", ["direct", "winograd"])
def test_the_weights_are_a_copy(conv, monkeypatch):
    class Session(engine.Session):
        def __init__(self, source, threads, outside):
            super().__init__(source, threads, outside)
            for array in outside.values():  # among them weights that a normalization was folded into
                array[...] = np.nan

    monkeypatch.setenv("CHAINFPN_CONV", conv)
    detector = build_small("fasterrcnn_resnet_fpn")
    (img,) = [*photographs().values()][2:]
    (before,) = detector.to_engine("onnx", threads=1).detect([img])
    monkeypatch.setattr(engine, "Session", Session)
    other = detector.to_engine("onnx", threads=1)
    for param in detector.params():
        param.array[...] = np.nan
    (after,) = other.detect([img])
    np.testing.assert_array_equal(before.bbox, after.bbox)


def test_auto_is_onnx_on_a_cpu_where_it_is_installed(detector, other, monkeypatch):
    assert other.to_engine("auto") is other
    assert detector.to_engine("chainer") is detector
    with chainer.using_config("dtype", np.float16):
        assert detector.to_engine("auto") is detector
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_is_installed", lambda: False)
        assert detector.to_engine("auto") is detector
    monkeypatch.setattr(type(detector), "xp", "CuPy")
    assert detector.to_engine("auto") is detector
    with pytest.raises(InvalidArgument, match="name must be chainer or cuda-graph for a detector on a GPU, got 'onnx'"):
        detector.to_engine("onnx")


def test_what_it_cannot_do_is_said(detector, other, tmp_path, monkeypatch):
    rule = "to_engine: name must be one of auto, chainer, cuda-graph, onnx, got 'tpu'"
    with pytest.raises(InvalidArgument, match=rule):
        detector.to_engine("tpu")
    with pytest.raises(InvalidArgument, match="name must be chainer or onnx for a detector on a CPU, got 'cuda-graph'"):
        detector.to_engine("cuda-graph")
    with pytest.raises(InvalidArgument, match="to_engine: threads must be None or >= 1, got 0"):
        detector.to_engine("onnx", threads=0)
    with pytest.raises(InvalidArgument, match="to_engine: name must be onnx, for the weights are gone, got 'chainer'"):
        other.to_engine("chainer")
    (img,) = [*photographs().values()][2:]
    with (
        chainer.using_config("dtype", np.float16),
        pytest.raises(InvalidArgument, match="x must be float32 on the CPU"),
    ):
        other.predict([img])
    with pytest.raises(InvalidArgument, match=r"chainer\.config\.train must be False: it cannot be trained"):
        TrainChain(other)([img], [np.array([[1, 2, 30, 40]], "f")], [np.array([0], "i")])
    with pytest.raises(InvalidArgument, match="engine onnx: model must be a detector on the engine chainer"):
        chainfpn.save_weights(tmp_path / "gone.npz", other)
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnxruntime is missing \(.*\); pip install 'chainfpn\[onnx\]'"):
        detector.to_engine("onnx")


def test_exported_files_are_kept_and_used_if_they_are_of_these_weights(tmp_path, monkeypatch):
    detector, (img,) = build_small("retinanet_resnet_fpn"), [*photographs().values()][2:]
    path = tmp_path / "detector.onnx"
    detector.to_engine("onnx", threads=1, cache=path)
    first = path.stat().st_mtime_ns
    check(detector, detector.to_engine("onnx", threads=1, cache=path), [img])
    assert path.stat().st_mtime_ns == first
    detector.head.regression_head.bbox_reg.b.array[...] += 0.1
    check(detector, detector.to_engine("onnx", threads=1, cache=path), [img])
    second = path.stat().st_mtime_ns
    assert second != first
    monkeypatch.setenv("CHAINFPN_CONV", "winograd")  # which divides it
    for _ in range(2):
        check(detector, detector.to_engine("onnx", threads=1, cache=path), [img])
    texts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert texts["form"] == "divided"
    third = path.stat().st_mtime_ns
    assert third != second
    monkeypatch.setenv("CHAINFPN_CONV", "measure")  # which was done when they were written; reading them needs no onnx
    monkeypatch.setattr(division, "is_winograd", pytest.fail)
    monkeypatch.setitem(sys.modules, "onnx", None)
    check(detector, detector.to_engine("onnx", threads=1, cache=path), [img])
    assert path.stat().st_mtime_ns == third
    monkeypatch.undo()
    detector.meta = {**detector.meta, "arguments": {"n_fg_class": 5}}  # of the same weights
    detector.to_engine("onnx", threads=1, cache=path)
    assert path.stat().st_mtime_ns != third


@pytest.mark.parametrize("content", ["end to end", "another's", "no ONNX"])
def test_no_other_file_is_taken_for_an_engines_or_lost(content, detector, tmp_path):
    path, part = tmp_path / "detector.onnx", tmp_path / "detector.box.onnx"
    if content == "end to end":
        chainfpn.export_onnx(detector, path)
    else:
        path.write_bytes({"no ONNX": b"something", "another's": _plain_onnx()}[content])
    before = path.read_bytes()
    rule = "to_engine: cache must be the place of an engine's files, or a new one, got .*onnx, "
    form = {"end to end": "a file of the form end_to_end", "no ONNX": "which is no ONNX file"}
    with pytest.raises(InvalidArgument, match=rule + form.get(content, "a file of something else")):
        detector.to_engine("onnx", threads=1, cache=path)
    assert (path.read_bytes(), part.exists()) == (before, False)


def _plain_onnx():
    graph = Graph()
    graph.output("y", graph.op("Relu", graph.input("x", "float32", (1,))), (1,))
    return graph.model("another's", {}).SerializeToString()


def test_threads_follow_the_variable_or_the_argument(sessions, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    detector = build_small("fcos_resnet_fpn")
    for threads, expected in ((None, 3), (2, 2)):
        detector.to_engine("onnx", threads=threads)
        options = sessions.pop()._session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (expected, 1)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"  # they sleep while they wait
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert default_threads() >= 1


@pytest.mark.parametrize("conv", ["direct", "winograd"])
def test_the_bundled_detector_finds_the_same_and_leaves_no_file(conv, tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", conv)
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights_path(), "person.npz")
    detector = models.load("person.npz")
    check(detector, detector.to_engine("onnx", threads=1), [*photographs().values()])
    assert [path.name for path in tmp_path.iterdir()] == ["person.npz"]
