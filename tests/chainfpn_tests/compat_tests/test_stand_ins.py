"""Each stand-in gives what the missing thing gave."""

import importlib.metadata
import sys
import types

import numpy as np
import pytest
from chainercv.utils import non_maximum_suppression

from chainfpn.compat import TABLE
from chainfpn.compat.cupy import _cupy_without_cudnn

SHIMS = {shim.name: shim for shim in TABLE}


@pytest.fixture
def pkg_resources():
    return SHIMS["pkg_resources"].contents()


def test_sctypes_are_the_scalar_types_of_each_kind():
    sctypes = SHIMS["numpy.sctypes"].value(np)
    assert {np.dtype(t).kind for t in sctypes["int"]} == {"i"}
    assert {np.dtype(t).kind for t in sctypes["uint"]} == {"u"}
    assert {np.dtype(t).kind for t in sctypes["float"]} == {"f"}
    assert {np.dtype(t).kind for t in sctypes["complex"]} == {"c"}
    assert [np.dtype(t).itemsize for t in sctypes["int"]] == [1, 2, 4, 8]
    assert np.dtype("float32") in sctypes["float"]  # how Chainer asks


def test_system_info_knows_of_no_library():
    assert SHIMS["numpy.distutils.system_info"].contents()["get_info"]("blas_opt") == {}


def test_a_distribution_has_its_version(pkg_resources):
    assert pkg_resources["get_distribution"]("chainercv").version == "0.13.1"


def test_requirements_are_met_missing_or_in_conflict(pkg_resources):
    version = importlib.metadata.version("numpy")
    assert pkg_resources["require"]("numpy", f"numpy=={version}", "chainer>=7,<8")[1].version == version
    with pytest.raises(pkg_resources["DistributionNotFound"], match="no-such-thing"):
        pkg_resources["require"]("no-such-thing>=1")
    with pytest.raises(pkg_resources["VersionConflict"], match="numpy"):
        pkg_resources["require"]("numpy<1")
    with pytest.raises(pkg_resources["ResolutionError"]):
        pkg_resources["WorkingSet"]().require("numpy<1")


def test_pytest_prepends_paths_beside_the_stand_in(pkg_resources, monkeypatch, tmp_path):
    module = types.ModuleType("pkg_resources")
    vars(module).update(pkg_resources)
    monkeypatch.setitem(sys.modules, "pkg_resources", module)
    monkeypatch.syspath_prepend(tmp_path)
    assert sys.path[0] == str(tmp_path)


@pytest.mark.parametrize(("word", "truth"), [("y", 1), ("Yes", 1), ("1", 1), ("ON", 1), ("no", 0), ("0", 0), ("f", 0)])
def test_strtobool_knows_words(word, truth):
    assert SHIMS["distutils.util"].contents()["strtobool"](word) == truth


def test_strtobool_refuses_other_words():
    with pytest.raises(ValueError, match="invalid truth value 'maybe'"):
        SHIMS["distutils.util"].contents()["strtobool"]("Maybe")


def overlap_mask(bbox, thresh):
    """Make the bit mask that ChainerCV's GPU kernel makes, with loops."""
    n_bbox = len(bbox)
    col_blocks = -(-n_bbox // 64)
    mask = np.zeros((n_bbox, col_blocks), dtype=np.uint64)
    for i in range(n_bbox):
        for j in range(i + 1, n_bbox):
            height, width = np.maximum(np.minimum(bbox[i, 2:], bbox[j, 2:]) - np.maximum(bbox[i, :2], bbox[j, :2]), 0)
            areas = np.prod(bbox[[i, j], 2:] - bbox[[i, j], :2], axis=1)
            if height * width >= thresh * (areas.sum() - height * width):
                mask[i, j // 64] |= np.uint64(1 << (j % 64))
    return mask.ravel(), col_blocks


@pytest.mark.parametrize("n_bbox", [1, 63, 64, 65, 150])
def test_the_nms_post_step_selects_what_chainercv_selects_on_the_cpu(n_bbox):
    rng = np.random.default_rng(n_bbox)
    corner = rng.uniform(0, 60, (n_bbox, 2))
    bbox = np.hstack([corner, corner + rng.uniform(5, 30, (n_bbox, 2))]).astype(np.float32)
    mask, col_blocks = overlap_mask(bbox, 0.3)
    post = SHIMS["chainercv.utils.bbox._nms_gpu_post"].contents()["_nms_gpu_post"]
    selection, n_selected = post(mask, n_bbox, 64, col_blocks)
    np.testing.assert_array_equal(selection[:n_selected], non_maximum_suppression(bbox, 0.3))
    assert selection.dtype == np.int32


def test_the_onnx_tables_know_numpys_dtypes():
    onnx = pytest.importorskip("onnx")
    tables = SHIMS["onnx.mapping"].contents()
    for dtype in ("float16", "float32", "float64", "int32", "int64", "uint8", "bool"):
        assert tables["NP_TYPE_TO_TENSOR_TYPE"][np.dtype(dtype)] == onnx.helper.np_dtype_to_tensor_dtype(
            np.dtype(dtype)
        )
    assert tables["STORAGE_TENSOR_TYPE_TO_FIELD"][onnx.TensorProto.FLOAT] == "float_data"


@pytest.mark.parametrize(("files", "without"), [((), True), (("cudnn.py",), False), (("cudnn.abi3.so",), False)])
def test_a_cupy_without_cudnn_is_recognised_by_its_files(monkeypatch, tmp_path, files, without):
    (tmp_path / "cupy").mkdir()
    for name in ("__init__.py", *files):
        (tmp_path / "cupy" / name).write_text("raise RuntimeError('cupy must not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert _cupy_without_cudnn() is without
