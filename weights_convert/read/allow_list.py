"""The allow-list: every name a pickle may use, and what of ours stands for it."""

from collections.abc import Callable
from typing import Any

from weights_convert.errors import CheckpointError
from weights_convert.read.numpy_pickle import NumpyArray, NumpyDtype, from_buffer, latin1, scalar
from weights_convert.read.placeholders import Blob, Global, Record
from weights_convert.read.rebuild import DtypeName, Rebuilder, StorageType, would_call
from weights_convert.read.tensor import DTYPES, REFUSED_DTYPES, STORAGES, Storage, Tensor, Unsupported


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise CheckpointError("the pickle has a tensor without a storage")
    return Tensor(storage, size, stride, offset, storage.dtype or "uint8")


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(dtype, DtypeName):
        raise CheckpointError("the pickle has a tensor without a storage or a dtype")
    return Tensor(storage, size, stride, offset, dtype.name)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _tensor_from_numpy(data: Any, *_: Any) -> Any:
    return data.value if isinstance(data, NumpyArray) else data


def _from_type(function: Any, cls: Any, args: Any, state: Any = None) -> Any:
    if isinstance(function, Global):
        raise CheckpointError(would_call(function))
    if not function.name.startswith(("torch._utils.", "torch.nn.parameter.")):
        raise CheckpointError(f"the pickle would make a tensor by {function.name}")
    return function.rebuild(args)


def _unsupported(reason: str) -> Callable[..., Unsupported]:
    return lambda *_: Unsupported(reason)


def _encode(text: Any, encoding: Any = "latin1") -> Any:
    if encoding not in ("latin1", "latin-1"):
        raise CheckpointError("the pickle has bytes written as text in an encoding that is not latin-1")
    return text if isinstance(text, Blob) else latin1(text)


def _dict(items: Any = ()) -> dict[Any, Any]:
    if isinstance(items, dict):
        return dict(items)
    return {key: value for key, value in items if isinstance(key, (str, int, float, bytes))}


def _set(items: Any = ()) -> set[Any]:
    return {item for item in items if isinstance(item, (str, int, float, bytes, bool))}


def _reconstruct(cls: Any, base: Any = None, state: Any = None) -> Record:
    record = Record(cls if isinstance(cls, Global) else getattr(cls, "name", "object"))
    if isinstance(state, dict):
        record.entries.update(state)
    return record


def _new_object(cls: Any, *args: Any) -> Any:
    return Record(cls, args) if isinstance(cls, Global) else cls.rebuild(args)


def _record(name: str) -> Callable[..., Record]:
    return lambda *args: Record(name, args)


_REBUILD = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_v3,
    "_rebuild_parameter": _parameter,
    "_rebuild_parameter_with_state": _parameter,
    "_rebuild_device_tensor_from_numpy": _tensor_from_numpy,
    "_rebuild_xla_tensor": _tensor_from_numpy,
    "_rebuild_sparse_tensor": _unsupported("a sparse tensor; save it with .to_dense()"),
    "_rebuild_sparse_csr_tensor": _unsupported("a sparse tensor; save it with .to_dense()"),
    "_rebuild_nested_tensor": _unsupported("a nested tensor"),
    "_rebuild_qtensor": _unsupported("a quantized tensor; save it with .dequantize()"),
    "_rebuild_meta_tensor_no_storage": _unsupported("a tensor on the meta device, which has no values"),
    "_rebuild_device_tensor_from_cpu_tensor": _parameter,
}

#: Objects that say nothing about weights and are harmless to keep as data: never called, whatever they are.
_DATA_ONLY = {
    "builtins": "object slice range complex getattr type",
    "functools": "partial",
    "pathlib": "Path PurePath PosixPath WindowsPath PurePosixPath PureWindowsPath",
    "pathlib._local": "PosixPath WindowsPath",
    "datetime": "datetime date time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "logging": "getLogger",
    "random": "Random",
    "enum": "Enum",
    "collections": "deque",
    "torch": "device Generator finfo",
    "torchvision.transforms.functional": "InterpolationMode",
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
}

_CONTAINERS: dict[str, Callable[..., Any]] = {
    "dict": _dict,
    "list": lambda items=(): list(items),
    "tuple": lambda items=(): tuple(items),
    "set": _set,
    "frozenset": lambda items=(): frozenset(_set(items)),
    "int": lambda value=0: value if isinstance(value, int) else 0,
    "float": lambda value=0.0: value if isinstance(value, float) else 0.0,
    "bool": lambda value=False: bool(value) if isinstance(value, int) else False,
    "str": lambda value="": value if isinstance(value, str) else "",
    "bytes": lambda value=b"", *_: value if isinstance(value, (bytes, Blob)) else b"",
    "bytearray": lambda value=b"", *_: _encode(value) if isinstance(value, (str, Blob)) else b"",
}


def _allowed() -> dict[tuple[str, str], Any]:
    functions: dict[str, Any] = {f"builtins.{name}": function for name, function in _CONTAINERS.items()}
    functions |= {f"torch._utils.{name}": function for name, function in _REBUILD.items()}
    data_only = [f"{module}.{name}" for module, names in _DATA_ONLY.items() for name in names.split()]
    functions |= {
        "torch._tensor._rebuild_from_type": _from_type,
        "torch._tensor._rebuild_from_type_v2": _from_type,
        "torch.nn.parameter.Parameter": _parameter,
        "torch.Size": lambda sizes=(): tuple(sizes),
        "torch.serialization._get_layout": lambda name: name,
        "collections.OrderedDict": _dict,
        "collections.defaultdict": lambda factory=None, items=(): _dict(items),
        "collections.Counter": _dict,
        "_codecs.encode": _encode,
        "copyreg._reconstructor": _reconstruct,
        "copyreg.__newobj__": _new_object,
        "numpy.dtype": NumpyDtype,
        "numpy.ndarray": NumpyArray,
    }
    for core in ("numpy.core", "numpy._core"):
        functions[f"{core}.multiarray._reconstruct"] = NumpyArray
        functions[f"{core}.multiarray.scalar"] = scalar
        functions[f"{core}.numeric._frombuffer"] = from_buffer
    table: dict[Any, Any] = {tuple(name.rsplit(".", 1)): Rebuilder(name, f) for name, f in functions.items()}
    table |= {tuple(name.rsplit(".", 1)): Rebuilder(name, _record(name), keeps=True) for name in data_only}
    table |= {(m, f"{p}Storage"): StorageType(dtype) for p, dtype in STORAGES.items() for m in ("torch", "torch.cuda")}
    table |= {("torch.storage", name): StorageType(None) for name in ("UntypedStorage", "_UntypedStorage")}
    table |= {("torch", name): DtypeName(name) for name in (*DTYPES, *REFUSED_DTYPES)}
    for module, older in (("builtins", "__builtin__"), ("copyreg", "copy_reg")):  # as Python 2 spells them
        table |= {(older, name): value for (m, name), value in table.items() if m == module}
    for name, older in (("int", "long"), ("str", "unicode"), ("range", "xrange")):
        table["__builtin__", older] = table["builtins", name]
    return table


#: ``{(module, name): what stands for it}``; nothing else is ever built from a pickle, except inert records.
ALLOWED = _allowed()
