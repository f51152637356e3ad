"""The allow-list: every name a pickle may use, and the builder of ours that stands for it."""

from collections import OrderedDict

from weights_convert.errors import CheckpointError
from weights_convert.read.builder import Builder, DtypeName, StorageType
from weights_convert.read.inert import Blob, Global, Record
from weights_convert.read.numpy_pickle import NumpyArray, NumpyDtype, from_buffer, latin1, scalar
from weights_convert.read.tensor import DTYPES, REFUSED_DTYPES, Storage, Tensor, Unsupported


def _tensor(storage, offset, size, stride, *_):
    if not isinstance(storage, Storage):
        raise CheckpointError("the pickle has a tensor without a storage")
    return Tensor(storage, size, stride, offset, storage.dtype or "uint8")


def _tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, *_):
    if not isinstance(storage, Storage) or not isinstance(dtype, DtypeName):
        raise CheckpointError("the pickle has a tensor without a storage or a dtype")
    return Tensor(storage, size, stride, offset, dtype.name)


def _parameter(data, *_):
    return data


def _tensor_from_numpy(data, *_):
    return data.value if isinstance(data, NumpyArray) else data


def _from_type(function, cls, args, state=None):
    if not isinstance(function, Builder):
        raise CheckpointError(
            f"the pickle would call {function}, which is not one of the functions that rebuild tensors"
        )
    return function.build(args)


def _unsupported(reason):
    return lambda *_: Unsupported(reason)


def _encode(text, encoding="latin1"):
    if encoding not in ("latin1", "latin-1"):
        raise CheckpointError("the pickle has bytes written as text in an encoding that is not latin-1")
    if isinstance(text, Blob):
        return text
    return latin1(text)


def _ordered(items=()):
    if isinstance(items, dict):
        return OrderedDict(items)
    return OrderedDict((key, value) for key, value in items if isinstance(key, (str, int, float, bytes)))


def _set(items=()):
    return {item for item in items if isinstance(item, (str, int, float, bytes, bool))}


def _reconstruct(cls, base=None, state=None):
    record = Record(cls if isinstance(cls, Global) else getattr(cls, "name", "object"))
    if isinstance(state, dict):
        record.entries.update(state)
    return record


def _new_object(cls, *args):
    return Record(cls, args) if isinstance(cls, Global) else cls.build(args)


def _record(name):
    return lambda *args: Record(name, args)


_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}

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
    "_rebuild_qtensor": _unsupported("a quantised tensor; save it with .dequantize()"),
    "_rebuild_meta_tensor_no_storage": _unsupported("a tensor on the meta device, which has no values"),
    "_rebuild_device_tensor_from_cpu_tensor": _parameter,
}

#: Objects that say nothing about weights and are harmless to keep as data: never called, whatever they are.
_DATA_ONLY = [
    "builtins.object",
    "builtins.slice",
    "builtins.range",
    "builtins.complex",
    "builtins.getattr",
    "builtins.type",
    "functools.partial",
    "pathlib.Path",
    "pathlib.PurePath",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "datetime.datetime",
    "datetime.date",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "logging.getLogger",
    "random.Random",
    "enum.Enum",
    "collections.deque",
    "torch.device",
    "torch.Generator",
    "torch.finfo",
    "torchvision.transforms.functional.InterpolationMode",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
]

_CONTAINERS = {
    "dict": lambda items=(): dict(_ordered(items)),
    "list": lambda items=(): list(items),
    "tuple": lambda items=(): tuple(items),
    "set": _set,
    "frozenset": lambda items=(): frozenset(_set(items)),
    "int": lambda value=0: value if isinstance(value, int) else 0,
    "float": lambda value=0.0: value if isinstance(value, float) else 0.0,
    "bool": lambda value=False: bool(value) if isinstance(value, int) else False,
    "str": lambda value="": value if isinstance(value, str) else "",
    "bytes": lambda value=b"", *_: value if isinstance(value, (bytes, Blob)) else b"",
    "bytearray": lambda value=b"", *_: (
        value if isinstance(value, Blob) else bytes(_encode(value)) if isinstance(value, str) else b""
    ),
}


def _allowed():
    functions = {f"builtins.{name}": function for name, function in _CONTAINERS.items()}
    functions |= {f"torch._utils.{name}": function for name, function in _REBUILD.items()}
    functions |= {name: _record(name) for name in _DATA_ONLY}
    functions |= {
        "torch._tensor._rebuild_from_type": _from_type,
        "torch._tensor._rebuild_from_type_v2": _from_type,
        "torch.nn.parameter.Parameter": _parameter,
        "torch.Size": lambda sizes=(): tuple(sizes),
        "torch.serialization._get_layout": lambda name: name,
        "collections.OrderedDict": _ordered,
        "collections.defaultdict": lambda factory=None, items=(): dict(_ordered(items)),
        "collections.Counter": lambda items=(): dict(_ordered(items)),
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
    table = {tuple(name.rsplit(".", 1)): Builder(name, function) for name, function in functions.items()}
    for prefix, dtype in _STORAGES.items():
        for module in ("torch", "torch.cuda"):
            table[module, f"{prefix}Storage"] = StorageType(dtype)
    for name in ("UntypedStorage", "_UntypedStorage"):
        table["torch.storage", name] = StorageType(None)
    for name in (*DTYPES, *REFUSED_DTYPES):
        table["torch", name] = DtypeName(name)
    for (module, name), value in list(table.items()):  # as Python 2 spells them
        if module in ("builtins", "copyreg"):
            table[{"builtins": "__builtin__", "copyreg": "copy_reg"}[module], name] = value
    for name, older in (("int", "long"), ("str", "unicode"), ("range", "xrange")):
        table["__builtin__", older] = table["builtins", name]
    return table


#: ``{(module, name): what stands for it}``; nothing else is ever built from a pickle, except inert records.
ALLOWED = _allowed()
