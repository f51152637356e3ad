"""What cuDNN is asked for and which of its engines is taken, by a library that only notes what it is told."""

import ctypes
import gc
import os
from pathlib import Path

import pytest

from chainfpn.functions.kernels import cudnn_backend, cudnn_graph
from chainfpn.functions.kernels.convolution import Geometry
from reference.fake_cudnn import HANDLE, Engine, Library

GEOMETRY = Geometry((2, 1), (3, 0), (1, 4), 2)
SHAPES = ((6, 2, 3, 5), (1, 4, 9, 20), (1, 6, 7, 4))


@pytest.fixture
def install(monkeypatch):
    """Give a function that puts a library with these engines in the place of cuDNN."""

    def install(*engines):
        library = Library(*engines)
        monkeypatch.setattr(cudnn_backend, "library", lambda: library)
        return library

    return install


def build(name="y", dtype="f", *, alignment=16, tf32=False, deterministic=False):
    rules = {"alignment": alignment, "tf32": tf32, "deterministic": deterministic}
    return next(cudnn_graph.plans(name, SHAPES, dtype, GEOMETRY, HANDLE, **rules))


@pytest.mark.parametrize(("name", "kind", "first"), [("y", 10, 700), ("x", 12, 706), ("W", 11, 712)])
@pytest.mark.parametrize(("dtype", "number", "compute"), [("e", 2, 0), ("f", 0, 0), ("d", 1, 1)])
def test_the_graph_is_the_convolution(install, name, kind, first, dtype, number, compute):
    library = install([Engine()])
    build(name, dtype, alignment=8)
    tensors = library.made(cudnn_graph.TENSOR)
    assert [d[cudnn_graph.TENSOR_DIMS] for d in tensors] == [list(shape) for shape in SHAPES]
    assert [d[cudnn_graph.TENSOR_STRIDES] for d in tensors] == [[30, 15, 5, 1], [720, 180, 20, 1], [168, 28, 4, 1]]
    assert [d[cudnn_graph.TENSOR_ID] for d in tensors] == [[1], [2], [3]]
    assert all(d[cudnn_graph.TENSOR_DTYPE] == [number] and d[cudnn_graph.TENSOR_ALIGNMENT] == [8] for d in tensors)
    (convolution,) = library.made(cudnn_graph.CONVOLUTION)
    assert convolution == {
        "kind": cudnn_graph.CONVOLUTION, 100: [compute], 101: [1], 102: [1, 4], 103: [2, 1],
        104: [3, 0], 105: [3, 0], 106: [2],
    }  # fmt: skip
    (operation,) = library.made(kind)
    assert [operation[first + i] for i in range(6)] == [[1], [0], [convolution], *([t] for t in tensors)]
    (graph,) = library.made(cudnn_graph.GRAPH)
    assert graph[cudnn_graph.GRAPH_HANDLE] == [HANDLE]
    assert graph[cudnn_graph.GRAPH_OPERATIONS] == [operation]


TENSOR_CORE = Engine("tensor core", [cudnn_graph.TENSOR_CORE])
ATOMICS = Engine("atomics", [cudnn_graph.NONDETERMINISTIC])
HALVES = Engine("halves", [cudnn_graph.DOWN_CONVERT_INPUTS])
HALF_SUMS = Engine("half sums", [cudnn_graph.REDUCED_PRECISION_REDUCTION])
COMPILED = Engine("compiled", behavior=[cudnn_graph.RUNTIME_COMPILATION])
LARGE = Engine("large", workspace=cudnn_graph.WORKSPACE_BYTES + 1)
FAILING = Engine("failing", fails=True)
PLAIN = Engine("plain", workspace=cudnn_graph.WORKSPACE_BYTES)


@pytest.mark.parametrize(
    ("engines", "options", "expected"),
    [
        ([TENSOR_CORE, PLAIN], {}, "plain"),
        ([TENSOR_CORE, PLAIN], {"tf32": True}, "tensor core"),
        ([TENSOR_CORE, PLAIN], {"dtype": "e"}, "tensor core"),
        ([TENSOR_CORE, PLAIN], {"dtype": "d"}, "tensor core"),
        ([ATOMICS, PLAIN], {}, "atomics"),
        ([ATOMICS, PLAIN], {"deterministic": True}, "plain"),
        ([HALVES, HALF_SUMS, PLAIN], {"tf32": True}, "plain"),
        ([HALF_SUMS, PLAIN], {"dtype": "e"}, "plain"),
        ([COMPILED, LARGE, FAILING, PLAIN], {}, "plain"),
    ],
)
def test_the_first_engine_that_keeps_to_the_rules_is_taken(install, engines, options, expected):
    library = install(engines)
    build(**options).run(HANDLE, (16, 32, 48), 64)
    assert [name for _, name, _ in library.executed] == [expected]


def test_every_plan_can_be_tried(install):
    library = install([ATOMICS, LARGE, PLAIN, FAILING], [HALVES, ATOMICS, FAILING])
    rules = {"alignment": 16, "tf32": False, "deterministic": False}
    for plan in cudnn_graph.plans("W", SHAPES, "f", GEOMETRY, HANDLE, **rules):
        plan.run(HANDLE, (16, 32, 48), 64)
    assert [name for _, name, _ in library.executed] == ["atomics", "plain", "atomics"]


@pytest.mark.parametrize("best", [[], [TENSOR_CORE, FAILING]])
def test_engines_that_always_work_come_last(install, best):
    library = install(best, [PLAIN])
    build().run(HANDLE, (16, 32, 48), 64)
    assert [name for _, name, _ in library.executed] == ["plain"]


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ([], "no engine keeps to the rules"),
        ([ATOMICS], "no engine keeps to the rules"),
        ([FAILING], "cudnnBackendFinalize: CUDNN_STATUS_NOT_SUPPORTED for a reason"),
    ],
)
def test_where_no_engine_will_do_the_reason_is_said(install, engines, message):
    install(engines)
    with pytest.raises(cudnn_backend.CudnnError, match=message):
        build(deterministic=True)


def test_a_run_binds_the_addresses_once(install):
    library = install([PLAIN])
    plan = build()
    for _ in range(2):
        plan.run(HANDLE, (16, 32, 48), 64)
    plan.run(HANDLE, (16, 32, 80), 64)
    packs = [pack for _, _, pack in library.executed]
    assert [pack[cudnn_graph.PACK_POINTERS] for pack in packs] == [[16, 32, 48], [16, 32, 48], [16, 32, 80]]
    assert all(p[cudnn_graph.PACK_IDS] == [1, 2, 3] and p[cudnn_graph.PACK_WORKSPACE] == [64] for p in packs)
    assert packs[0] is packs[1]
    for address in range(3 * cudnn_graph.MAX_PACKS):
        plan.run(HANDLE, (16, 32, address), 64)
    assert len(library.alive) < 2 * cudnn_graph.MAX_PACKS
    with pytest.raises(cudnn_backend.CudnnError, match="cudnnBackendExecute"):
        plan.run(HANDLE + 1, (16, 32, 48), 64)


def test_descriptors_go_with_their_plan(install):
    library = install([TENSOR_CORE, PLAIN])
    plan = build()
    plan.run(HANDLE, (16, 32, 48), 64)
    assert library.alive
    del plan
    gc.collect()
    assert not library.alive


def test_a_library_that_is_not_there_is_named():
    with pytest.raises(cudnn_backend.CudnnError, match=r"libcudnn\.so\.0: cannot open shared object file"):
        cudnn_backend._load("libcudnn.so.0")


@pytest.mark.parametrize("places", [["process", "wheel", "system"], ["wheel", "system"], ["system"]])
def test_the_library_of_the_process_goes_before_the_wheels_and_that_before_the_systems(places, monkeypatch, tmp_path):
    wheel = tmp_path / "nvidia" / "cudnn" / "lib" / cudnn_backend.LIBRARY
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    monkeypatch.syspath_prepend(tmp_path)

    def open_library(path, mode):
        place = "process" if mode & os.RTLD_NOLOAD else "wheel" if path == str(wheel) else "system"
        if place not in places:
            raise OSError(f"{path}: not there")
        return place

    monkeypatch.setattr(ctypes, "PyDLL", open_library)
    assert cudnn_backend._load(cudnn_backend.LIBRARY) == places[0]


def test_a_library_that_is_loaded_is_not_loaded_again(monkeypatch):
    path = next(part for part in Path("/proc/self/maps").read_text().split() if "/libc.so" in part)
    modes, load = [], ctypes.PyDLL
    monkeypatch.setattr(ctypes, "PyDLL", lambda path, mode: modes.append(mode) or load(path, mode))
    assert cudnn_backend._load(path.rpartition("/")[2]).getpid() == os.getpid()
    assert modes == [os.RTLD_NOLOAD]
