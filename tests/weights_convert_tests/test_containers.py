"""Every container that torch writes, written by torch itself, reads as torch reads it."""

import pytest

import weights_convert
from reference.arrays import assert_same_arrays

#: What goes into the files: every dtype, shared storages, views, scalars, and things beside the weights.
WRITE_TORCH = """
from collections import OrderedDict, defaultdict
g = torch.Generator().manual_seed(3)
base = torch.rand((6, 8), generator=g)
state = OrderedDict()
for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "bfloat16"):
    state[f"dtype.{name}"] = (torch.rand((3, 5), generator=g) * 7 - 2).to(getattr(torch, name))
state["view.rows"] = base[2:5]
state["view.columns"] = base[:, 1::3]
state["view.transposed"] = base.t()
state["view.expanded"] = base[:1, :1].expand(4, 3)
state["view.scalar"] = base[3, 3]
state["view.empty"] = torch.zeros((0, 4))
state["view.channels_last"] = torch.rand((2, 3, 4, 5), generator=g).to(memory_format=torch.channels_last)
state["tied"] = base
state["parameter"] = torch.nn.Parameter(torch.rand(3, generator=g))
state["numpy.array"] = np.arange(6, dtype="f4").reshape(2, 3)
state["numpy.fortran"] = np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3))
state["numpy.scalar"] = np.float32(2.5)
for name, value in state.items():
    value = torch.as_tensor(value).detach()
    outputs[name] = value.float() if value.dtype == torch.bfloat16 else value
optimizer = torch.optim.SGD([state["parameter"]], lr=0.1, momentum=0.9)
(state["parameter"] ** 2).sum().backward()
optimizer.step()
whole = {"epoch": 3, "model": state, "optimizer": optimizer.state_dict(), "counts": defaultdict(int, a=1),
         "rng": torch.get_rng_state(), "np_rng": np.random.get_state(), "size": base.shape, "dtype": torch.float32,
         "device": torch.device("cpu")}
outputs["parameter"] = state["parameter"].detach().clone()
torch.save(whole, folder / "checkpoint.pth", **({} if ZIP else {"_use_new_zipfile_serialization": False}))
"""


@pytest.fixture(scope="module", params=[True, False], ids=["zip", "legacy"])
def written(request, torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    expected = torchvision_live.run(f"ZIP = {request.param}\n" + WRITE_TORCH, folder=folder)
    return folder / "checkpoint.pth", expected


def test_every_tensor_is_what_torch_reads(written):
    path, expected = written
    arrays = weights_convert.read_checkpoint(path)
    assert list(arrays) == list(expected)
    assert_same_arrays(arrays, expected)


def test_arrays_can_be_written_and_the_file_stays_as_it_is(written):
    path, _ = written
    before = path.read_bytes()
    weights_convert.read_checkpoint(path)["tied"][:] = 7
    assert path.read_bytes() == before


def test_another_entry_of_the_file_can_be_asked_for(written):
    arrays = weights_convert.read_checkpoint(written[0], entry="optimizer/state/0")
    assert list(arrays) == ["momentum_buffer"]
    sentence = r"checkpoint\.pth: has no entry 'ema'; at 'ema' there is epoch"
    with pytest.raises(weights_convert.CheckpointError, match=sentence):
        weights_convert.read_checkpoint(written[0], entry="ema")


WRITE_MODULES = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.blocks = nn.ModuleList([nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.Linear(4, 2)])
        self.register_buffer("mask", torch.ones(2), persistent=False)
        self.activation = torch.nn.functional.relu
import __main__, sys, types
module = types.ModuleType("somewhere_else")
sys.modules["somewhere_else"] = module
Net.__module__, module.Net = "somewhere_else", Net
Net.__qualname__ = "Net"
net = Net()
torch.save(net, folder / "whole_zip.pth")
torch.save(net, folder / "whole_legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"ema": net, "model": None, "updates": 3}, folder / "ema.pth")
torch.save({"state_dict": {"module." + k: v for k, v in net.state_dict().items()}, "epoch": 4}, folder / "ddp.pth.tar")
torch.save({"state_dict": {"model." + k: v for k, v in net.state_dict().items()}, "pytorch-lightning_version": "2.0",
            "hyper_parameters": {"lr": 0.1}}, folder / "lightning.ckpt")
torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))).save(str(folder / "script.pt"))
outputs.update(net.state_dict())
i = torch.tensor([[0, 1], [1, 0]])
torch.save({"a": torch.ones(2), "sparse": torch.sparse_coo_tensor(i, torch.ones(2), (2, 2))}, folder / "sparse.pth")
import pickle
with open(folder / "plain.pkl", "wb") as f:
    pickle.dump({"model": net.state_dict()}, f)
torch.save({"a": torch.ones(2), "complex": torch.ones(2, dtype=torch.complex64)}, folder / "complex.pth")
torch.save({"q": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, folder / "quantized.pth")
"""


@pytest.fixture(scope="module")
def modules(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    return folder, torchvision_live.run(WRITE_MODULES, folder=folder)


@pytest.mark.parametrize(
    "name", ["whole_zip.pth", "whole_legacy.pth", "ema.pth", "ddp.pth.tar", "lightning.ckpt", "plain.pkl"]
)
def test_wrapped_weights_are_found(modules, name):
    folder, expected = modules
    assert_same_arrays(weights_convert.read_checkpoint(folder / name), expected)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sparse.pth", "sparse is a sparse tensor"),
        ("complex.pth", "complex: has dtype complex64"),
        ("quantized.pth", "q is a quantized tensor"),
        ("script.pt", "is a TorchScript archive, a program with weights in it; load it with torch.jit.load"),
    ],
)
def test_what_no_array_can_hold_is_refused_by_name(modules, name, sentence):
    with pytest.raises(weights_convert.CheckpointError) as error:
        weights_convert.read_checkpoint(modules[0] / name)
    assert str(error.value).startswith(f"{name}: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
