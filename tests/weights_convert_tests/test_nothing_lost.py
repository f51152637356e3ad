"""The way back inverts the way there, whatever the tensors are called, or two names that would meet are refused."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import weights_convert
from reference.arrays import assert_same_arrays
from weights_convert.write import write_checkpoint

#: Names of torch's and of Chainer's parameters, of wrappers, and ordinary ones.
WORDS = (
    *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
    *("W", "b", "gamma", "beta", "N", "avg_mean", "avg_var"),
    *("module", "model", "net", "_orig_mod", "backbone", "conv1", "layer1", "0", "blk", "ls1", "head/fc", "x"),
)
names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(".".join)
shapes = st.lists(st.integers(0, 3), max_size=6).map(tuple)
dtypes = st.sampled_from(("f2", "f4", "f8", "u1", "i8", "?"))
states = st.dictionaries(names, st.tuples(shapes, dtypes), min_size=1, max_size=12)


def write_pth(path, arrays):
    """Write arrays under exactly these names."""
    mapped = {name: [name, array.shape, array.dtype.name] for name, array in arrays.items()}
    write_checkpoint(path, mapped, arrays.__getitem__, dict, to="pth", torch_names={name: name for name in arrays})


@pytest.mark.slow
@hypothesis.given(states, st.booleans(), st.integers(0, 2**32 - 1))
@hypothesis.settings(max_examples=150, deadline=None)
def test_every_state_dict_comes_back_or_two_names_are_refused(tmp_path_factory, state, ending, seed):
    folder = tmp_path_factory.mktemp("state")
    rng = np.random.default_rng(seed)
    arrays = {name: (2 * rng.random(shape)).astype(dtype) for name, (shape, dtype) in state.items()}
    write_pth(folder / "a.pth", arrays)
    back = folder / ("back.safetensors" if ending else "back.pth")
    try:
        weights_convert.convert(folder / "a.pth", folder / "a.npz", model="any")
        weights_convert.convert(folder / "a.npz", folder / "again.npz", model="any")
        weights_convert.convert(folder / "again.npz", back, model="any")
    except weights_convert.CheckpointError as error:
        first, _, rest = str(error).removeprefix("a.pth: ").partition(" and ")
        second = rest.partition(" would both become ")[0]
        assert {first, second} <= bare(arrays)
        return
    assert_equal(back, arrays)
    weights_convert.convert(folder / "a.pth", folder / "direct.safetensors", model="any", check=True)
    assert_equal(folder / "direct.safetensors", arrays)


def bare(arrays):
    """Return all names with any number of modules taken off."""
    return {".".join(name.split(".")[i:]) for name in arrays for i in range(6)}


def assert_equal(path, arrays):
    found = weights_convert.read.contents.open_checkpoint(path).tree
    assert_same_arrays({name: tensor.array() for name, tensor in found.items()}, arrays)


ONES, ZEROS = np.ones((4, 4), "f4"), np.zeros(4, "f4")


@pytest.mark.parametrize("ending", ["pth", "safetensors", "npz"])
def test_a_gamma_beside_a_weight_is_not_lost(tmp_path, ending):
    write_pth(tmp_path / "a.pth", {"blk.weight": ONES, "blk.gamma": ZEROS})
    weights_convert.convert(tmp_path / "a.pth", tmp_path / f"b.{ending}", model="any", check=True)
    found = weights_convert.read_checkpoint(tmp_path / f"b.{ending}")
    expected = {"npz": {"blk/W", "blk/gamma"}}.get(ending, {"blk.weight", "blk.gamma"})
    assert set(found) == expected
    assert sum(array.size for array in found.values()) == 20


def test_an_npz_remembers_names_that_the_rule_cannot_give_back(tmp_path):
    arrays = {"ls1.gamma": ZEROS, "b": np.ones(2, "f4"), "emb.N": np.array(3)}
    write_pth(tmp_path / "a.pth", arrays)
    weights_convert.convert(tmp_path / "a.pth", tmp_path / "a.npz", model="any")
    with np.load(tmp_path / "a.npz") as npz:
        assert set(npz.files) == {"ls1/gamma", "b", "emb/N", "__meta__"}
        assert json.loads(str(npz["__meta__"]))["torch_names"] == {"ls1/gamma": "ls1.gamma", "b": "b", "emb/N": "emb.N"}
    weights_convert.convert(tmp_path / "a.npz", tmp_path / "b.pth", model="any")
    assert_equal(tmp_path / "b.pth", arrays)


def test_two_names_that_meet_are_named(tmp_path):
    write_pth(tmp_path / "a.pth", {"bn.weight": ZEROS, "bn.gamma": ZEROS})
    with pytest.raises(
        weights_convert.CheckpointError, match=r"a\.pth: bn\.weight and bn\.gamma would both become bn/gamma"
    ):
        weights_convert.convert(tmp_path / "a.pth", tmp_path / "b.npz", model="any")
    np.savez(tmp_path / "c.npz", **{"x/W": ONES, "x/gamma": ZEROS})
    with pytest.raises(weights_convert.CheckpointError, match=r"x/W and x/gamma would both become x\.weight"):
        weights_convert.convert(tmp_path / "c.npz", tmp_path / "d.pth", model="any")
    weights_convert.convert(tmp_path / "c.npz", tmp_path / "d.npz", model="any")
    assert set(weights_convert.read_checkpoint(tmp_path / "d.npz")) == {"x/W", "x/gamma"}


@pytest.mark.parametrize("name", ["__meta__", ".weight", "a\\b"])
def test_what_no_array_of_an_npz_may_be_called_is_refused(tmp_path, name):
    write_pth(tmp_path / "a.pth", {name: ZEROS, "fc.weight": ONES})
    with pytest.raises(weights_convert.CheckpointError, match=r"cannot be the name of an array in an \.npz"):
        weights_convert.convert(tmp_path / "a.pth", tmp_path / "b.npz", model="any")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


WRITE_SHARED = """
from torch import nn
block = nn.Linear(2, 3)
net = nn.Sequential(block, nn.Sequential(block))
torch.save(net, folder / "shared.pth")
outputs.update(net.state_dict())
torch.save({1: torch.ones(2), "1": torch.zeros(2)}, folder / "twice.pth")
"""


def test_a_module_in_two_places_has_two_names_as_torch_gives_it(torchvision_live, tmp_path):
    expected = torchvision_live.run(WRITE_SHARED, folder=tmp_path)
    found = weights_convert.read_checkpoint(tmp_path / "shared.pth")
    assert list(found) == ["0.weight", "0.bias", "1.0.weight", "1.0.bias"] == list(expected)
    assert_same_arrays(found, expected)
    with pytest.raises(weights_convert.CheckpointError, match=r"twice\.pth: has two tensors named 1$"):
        weights_convert.read_checkpoint(tmp_path / "twice.pth")
