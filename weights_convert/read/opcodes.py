"""What each opcode of a pickle builds: none of them imports, looks up or calls anything outside this package."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from weights_convert.errors import CheckpointError
from weights_convert.read import literals
from weights_convert.read.placeholders import Global, Record
from weights_convert.read.rebuild import Rebuilt

if TYPE_CHECKING:
    from weights_convert.read.pickle_machine import Machine

Operation = Callable[["Machine"], Any]

#: Limits against bombs: how deep things nest, and parts of a tuple that is a key (its hash looks at all of them).
MAX_DEPTH = 300
MAX_KEY_PARTS = 32

_KEY_TYPES = (str, int, float, bool, bytes, type(None))


def _key(key: Any) -> Any:
    if isinstance(key, tuple):
        parts = list(key)
        for part in parts:  # which grows
            parts += part if isinstance(part, tuple) else ()
            if len(parts) > MAX_KEY_PARTS:
                raise CheckpointError(f"the pickle uses a tuple of more than {MAX_KEY_PARTS} parts as a key")
        return tuple(map(_key, key))
    if isinstance(key, Global) and not key.refused:
        return str(key)
    if not isinstance(key, _KEY_TYPES) or (isinstance(key, int) and not -(1 << 63) <= key < 1 << 64):
        raise CheckpointError(f"the pickle uses a {type(key).__name__} as a key")
    return key


def _set_items(target: Any, items: list[Any]) -> None:
    if len(items) % 2:
        raise CheckpointError("the pickle sets a key without a value")
    target = target.entries if isinstance(target, Record) else target
    if not isinstance(target, dict):
        raise CheckpointError(f"the pickle sets keys of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value


def _append(target: Any, items: list[Any]) -> None:
    target = target.elements if isinstance(target, Record) else target
    if not isinstance(target, list):
        raise CheckpointError(f"the pickle appends to a {type(target).__name__}")
    target.extend(items)


def _add(target: Any, items: list[Any]) -> None:
    if not isinstance(target, set):
        raise CheckpointError(f"the pickle adds to a {type(target).__name__}")
    target.update(map(_key, items))


def _changed(change: Callable[[Any, list[Any]], None], n: int | None = None) -> Operation:
    """Return the operation that changes a value by the ``n`` above it on the stack, or by all since the last MARK."""

    def operation(machine: "Machine") -> None:
        items = machine.pop_mark() if n is None else machine.pop_several(n)
        change(machine.top(), items)

    return operation


def _mark(machine: "Machine") -> None:
    machine.marks.append(machine.stack)
    machine.stack = []
    if len(machine.marks) > MAX_DEPTH:
        raise CheckpointError(f"the pickle nests more than {MAX_DEPTH} levels deep")


def _pop(machine: "Machine") -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _protocol(machine: "Machine") -> None:
    version = machine.number("<B")
    if version > 5:
        raise CheckpointError(f"the pickle has protocol {version}; Python writes 0 to 5")


def _get(machine: "Machine", index: int) -> Any:
    try:
        return machine.memo[index]
    except KeyError as error:
        raise CheckpointError("the pickle recalls something that it never stored") from error


def _put(machine: "Machine", index: int) -> None:
    machine.memo[index] = machine.top()


def _dict(machine: "Machine") -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    _set_items(result, machine.pop_mark())
    return result


def _global(machine: "Machine") -> Any:
    module = machine.line()
    return machine.find(module, machine.line())


def _newobj_ex(machine: "Machine") -> Any:
    cls, args, kwargs = machine.pop_several(3)
    made = machine.make(cls, args)
    if isinstance(made, Record) and isinstance(kwargs, dict):
        made.entries = kwargs  # not copied: it may be the same for many
    elif kwargs:
        raise CheckpointError("the pickle makes an object with keyword arguments that nothing here takes")
    return made


def _inst(machine: "Machine") -> Any:
    cls = _global(machine)
    return machine.make(cls, tuple(machine.pop_mark()))


def _obj(machine: "Machine") -> Any:
    items = machine.pop_mark()
    if not items:
        raise CheckpointError("the pickle makes an object of no class")
    return machine.make(items[0], tuple(items[1:]))


def _set_state(target: Any, items: list[Any]) -> None:
    (state,) = items
    if isinstance(target, Record):
        target.state = state
    elif isinstance(target, Rebuilt):
        target.set_state(state)
    elif not isinstance(target, dict):  # an OrderedDict's attributes, such as _metadata, say nothing about its tensors
        raise CheckpointError(f"the pickle sets the state of a {type(target).__name__}")


def _persistent(machine: "Machine", key: Any) -> Any:
    if machine.persistent is None:
        raise CheckpointError("the pickle refers to data outside itself, which this kind of file does not have")
    return machine.persistent(key)


def _refuse(what: str, machine: "Machine") -> None:
    raise CheckpointError(f"the pickle {what}")


def _push(read: Operation) -> Operation:
    def operation(machine: "Machine") -> None:
        value = read(machine)  # first: reading may put another stack in place
        machine.stack.append(value)

    return operation


def _bytes(layout: str, text: bool = False) -> Operation:
    return lambda m: literals.blob(literals.counted(m, layout), text)


_EXTENSION = partial(_refuse, "uses an extension code, which stands for code outside the file")
_BUFFER = partial(_refuse, "refers to buffers outside itself, which this kind of file does not have")

#: Opcodes that push what they read or build.
_PUSHED: dict[str, Operation] = {
    "2": lambda m: m.top(),
    "N": lambda m: None,
    "\x88": lambda m: True,
    "\x89": lambda m: False,
    "I": lambda m: literals.integer(m.line()),
    "L": lambda m: literals.integer(m.line()),
    "J": lambda m: m.number("<i"),
    "K": lambda m: m.number("<B"),
    "M": lambda m: m.number("<H"),
    "\x8a": lambda m: literals.long_integer(m, m.number("<B")),
    "\x8b": lambda m: literals.long_integer(m, m.number("<i")),
    "F": lambda m: literals.decimal(m.line()),
    "G": lambda m: m.number(">d"),
    "S": lambda m: literals.quoted(m.line()),
    "T": lambda m: literals.python2_string(literals.counted(m, "<i")),
    "U": lambda m: literals.python2_string(literals.counted(m, "<B")),
    "V": lambda m: m.line("raw-unicode-escape"),
    "X": _bytes("<I", text=True),
    "\x8c": _bytes("<B", text=True),
    "\x8d": _bytes("<Q", text=True),
    "B": _bytes("<I"),
    "C": _bytes("<B"),
    "\x8e": _bytes("<Q"),
    "\x96": _bytes("<Q"),
    "]": lambda m: [],
    "}": lambda m: {},
    ")": lambda m: (),
    "\x8f": lambda m: set(),
    "l": lambda m: m.pop_mark(),
    "t": lambda m: tuple(m.pop_mark()),
    "\x85": lambda m: tuple(m.pop_several(1)),
    "\x86": lambda m: tuple(m.pop_several(2)),
    "\x87": lambda m: tuple(m.pop_several(3)),
    "\x91": lambda m: frozenset(map(_key, m.pop_mark())),
    "d": _dict,
    "g": lambda m: _get(m, literals.integer(m.line())),
    "h": lambda m: _get(m, m.number("<B")),
    "j": lambda m: _get(m, m.number("<I")),
    "c": _global,
    "\x93": lambda m: m.find(*m.pop_several(2)),
    "R": lambda m: m.call(*m.pop_several(2)),
    "\x81": lambda m: m.make(*m.pop_several(2)),
    "\x92": _newobj_ex,
    "i": _inst,
    "o": _obj,
    "P": lambda m: _persistent(m, m.line()),
    "Q": lambda m: _persistent(m, m.pop()),
}

_OTHERS: dict[str, Operation] = {
    "(": _mark,
    "0": _pop,
    "1": lambda m: m.pop_mark(),
    "\x80": _protocol,
    "\x95": lambda m: m.take(8),  # FRAME: a hint about lengths that are checked anyway
    "a": _changed(_append, 1),
    "e": _changed(_append),
    "s": _changed(_set_items, 2),
    "u": _changed(_set_items),
    "\x90": _changed(_add),
    "b": _changed(_set_state, 1),
    "p": lambda m: _put(m, literals.integer(m.line())),
    "q": lambda m: _put(m, m.number("<B")),
    "r": lambda m: _put(m, m.number("<I")),
    "\x94": lambda m: _put(m, len(m.memo)),
    **dict.fromkeys("\x82\x83\x84", _EXTENSION),
    **dict.fromkeys("\x97\x98", _BUFFER),
}

#: How many steps an opcode counts for: more than one where what it makes takes more memory than its bytes in the file.
COSTS = [1] * 256
for _codes, _cost in (("pqr\x94", 4), ("]}ltd\x85\x86\x87", 5), ("Rio\x81\x92", 9), ("\x8f\x91", 17)):
    for _code in _codes:
        COSTS[ord(_code)] = _cost

#: What each opcode does to a `weights_convert.read.pickle_machine.Machine`; STOP is the machine's own.
OPERATIONS = {ord(code): operation for code, operation in _OTHERS.items()}
OPERATIONS |= {ord(code): _push(read) for code, read in _PUSHED.items()}
