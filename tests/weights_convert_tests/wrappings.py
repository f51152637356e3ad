"""Real-life wrappings of one network, made by torch itself: how people keep weights, and what they keep beside them.

`WRITE` runs where torch is. It saves every entry of ``cases`` as a file; the right values in it are those of ``state``,
those of ``decoy`` are of another network, which must not be taken.
"""

#: Wrappings that hold no weights that can be had, and what is said of them.
SENTENCES = {
    "sparse": "features/0/W is a sparse tensor; save it with .to_dense()",
    "complex": "features/0/gamma is of dtype complex64, which no Chainer model can hold",
    "quantized": "features/0/W is a quantized tensor; save it with .dequantize()",
    "script": "is a TorchScript archive",
    "optimizer alone": "holds the state of an optimizer",
    "no tensors": "holds no tensors with names",
    "two of a kind": "say which with --entry",
    "a function inside": "the pickle asks for _operator.add, which has no place in a checkpoint",
    "another network": "is none of the models known here",
    "a tensor": "holds a Tensor where a state dict belongs",
}

#: What stands beside the weights of a Lightning checkpoint; names that nobody may call are named in the report.
BESIDE = """
import argparse, collections, dataclasses, datetime, decimal, enum, fractions, functools, logging, operator, pathlib
import random, re, types, typing, uuid
def module(name, **things):
    parts = name.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(parts[i]))
    for key, thing in things.items():
        thing.__module__, thing.__qualname__ = name, key
        setattr(sys.modules[name], key, thing)
class AttributeDict(dict): pass
class DictConfig:
    def __init__(self, content): self._content, self._metadata = content, {"ref_type": typing.Any}
@dataclasses.dataclass
class Config:
    lr: float = 0.1
    sizes: tuple = (1, 2)
class Mode(enum.Enum):
    TRAIN = "train"
class Callback:
    def __init__(self): self.best, self.monitor = torch.tensor(0.5), operator.lt
class Slotted:
    __slots__ = ("lr", "steps")
    def __init__(self): self.lr, self.steps = 0.1, [1, 2]
module("lightning_fabric.utilities.data", AttributeDict=AttributeDict)
module("omegaconf.dictconfig", DictConfig=DictConfig)
module("project.config", Config=Config, Mode=Mode, Callback=Callback, Slotted=Slotted)
small = torch.nn.Linear(2, 2)
beside = {
    "Namespace": argparse.Namespace(lr=0.1, layers=[1, 2]),
    "AttributeDict": AttributeDict(lr=0.1),
    "OmegaConf": DictConfig({"lr": 0.1}),
    "dataclass": Config(),
    "Enum": Mode.TRAIN,
    "Callback": Callback(),
    "slots": Slotted(),
    "typing.Any": typing.Any,
    "Optional": typing.Optional[int],
    "operator": operator.add,
    "builtin": max,
    "class": dict,
    "partial": functools.partial(max, 1),
    "regular expression": re.compile("a+"),
    "exception": ValueError("no"),
    "logger": logging.getLogger("training"),
    "path": pathlib.PurePosixPath("/data/train"),
    "datetime": datetime.datetime(2024, 1, 2),
    "timedelta": datetime.timedelta(hours=3),
    "Decimal": decimal.Decimal("0.1"),
    "Fraction": fractions.Fraction(1, 3),
    "UUID": uuid.UUID(int=7),
    "Random": random.Random(0),
    "slice and range": [slice(1, 2), range(3)],
    "deque": collections.deque([1, 2], maxlen=3),
    "Counter": collections.Counter("abc"),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "set": {1, "b", frozenset([2])},
    "complex": 1 + 2j,
    "bytes": b"raw" * 100,
    "None and bool": [None, True, ...],
    "optimizer": torch.optim.Adam(small.parameters()),
    "scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(small.parameters(), 0.1), 2),
    "scaler": torch.cuda.amp.GradScaler(enabled=False).state_dict(),
    "loss module": torch.nn.CrossEntropyLoss(weight=torch.ones(3)),
    "device and dtype": [torch.device("cpu"), torch.float16, torch.Size([1, 2])],
    "generators": [torch.get_rng_state(), np.random.get_state(), random.getstate()],
    "NumPy": [np.float32(1), np.arange(3), np.dtype("i4"), np.random.RandomState(0)],
}
"""

WRITE = (
    BESIDE
    + """
from collections import OrderedDict
from torch.optim.swa_utils import AveragedModel
class Marked(torch.Tensor): pass
class Wrapper(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.backbone_net, self.loss = net, torch.nn.CrossEntropyLoss(weight=torch.ones(5))
def mean(old, new, n): return (n * old + new) / (n + 1)
module("project.nets", Marked=Marked, Wrapper=Wrapper, mean=mean)
make = lambda: torchvision.models.squeezenet1_1(num_classes=5).half()
net, other = make(), make()
with torch.no_grad():
    for parameter in other.parameters():
        parameter.zero_()
state, decoy = net.state_dict(), other.state_dict()
outputs.update(state)
under = lambda prefix, tensors=state: OrderedDict((prefix + key, value) for key, value in tensors.items())
each = lambda function: {key: function(value) for key, value in state.items()}
average, averaged = AveragedModel(net, avg_fn=mean), torch.tensor(7)
average.module.load_state_dict(state)
cases = {f"Lightning with {name}": {"state_dict": under("model."), "hyper_parameters": {"x": thing}, "epoch": 1,
                                    "callbacks": {"ModelCheckpoint": thing}, "pytorch-lightning_version": "1.9"}
         for name, thing in beside.items()}
flat = torch.cat([value.flatten() for value in state.values()])
offsets = dict(zip(state, np.cumsum([0, *map(torch.numel, state.values())])))
cases |= {
    "bare": state,
    "a dict, no OrderedDict": dict(state),
    "state_dict": {"state_dict": state, "epoch": 3, "best_acc1": torch.tensor(50.0)},
    "DataParallel": torch.nn.DataParallel(net).state_dict(),
    "DistributedDataParallel": {"model": under("module."), "optimizer": {"state": {}, "param_groups": []}},
    "compile": under("_orig_mod."),
    "compile in DistributedDataParallel": {"model": under("module._orig_mod.")},
    "Lightning around compile": {"state_dict": under("model._orig_mod.")},
    "Lightning, a loss": {"state_dict": {**under("net."), "criterion.weight": torch.ones(5)}},
    "Lightning, metrics": {
        "state_dict": {**under("model."), "val_acc.tp": torch.zeros(5), "loss_fn.weight": torch.ones(5)}},
    "Lightning, an attribute": {"state_dict": under("backbone_net.")},
    "a module in a module": {"state_dict": under("student.encoder.")},
    "references": {"model": state, "optimizer": {}, "lr_scheduler": {}, "epoch": 9, "args": argparse.Namespace(lr=1)},
    "references with EMA": {"model": decoy, "model_ema": {"n_averaged": averaged, **under("module.")}, "epoch": 9},
    "swa_utils": average.state_dict(),
    "swa_utils in a dict": {"swa_model": average.state_dict(), "epoch": 3},
    "swa_utils whole": average,
    "timm": {"state_dict": state, "arch": "squeezenet1_1", "args": argparse.Namespace(opt="sgd"), "metric": 1.0},
    "timm with EMA": {"state_dict": decoy, "state_dict_ema": state, "arch": "squeezenet1_1", "optimizer": {}},
    "mmengine": {"meta": {"seed": 1, "dataset_meta": {"classes": ("a",)}}, "state_dict": state,
                 "message_hub": {"log": [1]}, "param_schedulers": [{"step": 1}]},
    "mmcv with EMA": {
        "meta": {}, "state_dict": {**state, **{f"ema_{key.replace('.', '_')}": v for key, v in decoy.items()}}},
    "fairseq": {"args": argparse.Namespace(arch="x"), "model": state, "extra_state": {"epoch": 1}},
    "catalyst": {"model_state_dict": state, "criterion_state_dict": {"weight": torch.ones(5)}, "stage": "train"},
    "ignite": {"model": state, "trainer": {"iteration": 1}, "optimizer": {}},
    "fastai": {"model": state, "opt": {"state": [], "hypers": [{"lr": 1}]}},
    "DeepSpeed": {"module": state, "optimizer": None, "global_steps": 3, "dp_world_size": 1},
    "ClassyVision": {"classy_state_dict": {"base_model": {"model": {"trunk": state, "heads": {}}}}},
    "a student and its teacher": {"student": decoy, "teacher": under("module.")},
    "an EMA's shadow": {"ema": {"shadow": state, "decay": 0.99}},
    "YOLO": {"model": None, "ema": net, "updates": 3, "train_args": {"lr0": 0.1}},
    "a tuple": (state, 3, {"lr": 0.1}),
    "a list of runs": [{"epoch": 1, "history": [1.0]}, {"net": state}],
    "deep": {"run": {"best": {"weights": {"model": state}}}},
    "a whole module": net,
    "a whole module in DataParallel": torch.nn.DataParallel(net),
    "a whole module in a dict": {"model": net, "epoch": 1, "optimizer": torch.optim.SGD(net.parameters(), 0.1)},
    "a whole module in a module": {"net": Wrapper(net)},
    "parameters": each(torch.nn.Parameter),
    "gradients": each(lambda value: value.clone().requires_grad_()),
    "a subclass of Tensor": each(lambda value: value.as_subclass(Marked)),
    "channels last": each(lambda v: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v),
    "transposed storages": each(lambda value: value.transpose(0, -1).contiguous().transpose(0, -1)),
    "every second of a storage": each(lambda value: torch.stack([value, value], -1)[..., 0]),
    "one storage for all": {key: flat[offsets[key] :][: v.numel()].view(v.shape) for key, v in state.items()},
    "tied to a twin": {**state, "n_averaged": averaged, "ema_decay": 0.5, "copy": 1},
    "NumPy arrays": each(lambda value: value.numpy()),
    "bfloat16": each(lambda value: value.bfloat16()),
    "float32": each(lambda value: value.float()),
    "float64": each(lambda value: value.double()),
    "counters": {**state, "features.0.total_ops": averaged, "features.0.total_params": averaged, "steps": averaged},
    "another head": {
        **{key: value for key, value in state.items() if "features" in key}, "classifier.0.weight": torch.ones(3, 4)},
    "features": net.features.state_dict(),
    # what cannot be had
    "sparse": {**state, "features.0.weight": state["features.0.weight"].float().to_sparse()},
    "complex": {**state, "features.0.weight": torch.zeros(2, dtype=torch.complex64)},
    "quantized": {**state, "features.0.weight": torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)},
    "optimizer alone": torch.optim.Adam(small.parameters()).state_dict(),
    "no tensors": {"epoch": 3, "state_dict": {}},
    "two of a kind": {"netG": small.state_dict(), "netD": small.state_dict()},
    "a function inside": {"state_dict": {**state, "f": operator.add}},
    "another network": {"state_dict": torch.nn.LSTM(2, 3).state_dict()},
    "a tensor": torch.zeros(3),
}
for name, thing in cases.items():
    torch.save(thing, folder / f"{name}.pth")
for name in ("bare", "references with EMA", "a whole module", "one storage for all", "channels last", "bfloat16",
             "swa_utils"):
    torch.save(cases[name], folder / f"{name}, old serialization.pth", _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(small), folder / "script.pth")
tag = torch.serialization.location_tag
torch.serialization.location_tag = lambda storage: "cuda:1"
torch.save(state, folder / "from the second GPU.pth")
torch.serialization.location_tag = tag
"""
)
