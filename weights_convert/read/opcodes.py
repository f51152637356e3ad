"""What each opcode of a pickle builds: none of them imports, looks up or calls anything outside this package."""

from weights_convert.errors import CheckpointError
from weights_convert.read.builder import Rebuilt
from weights_convert.read.inert import Global, Record
from weights_convert.read.literals import (
    blob,
    counted,
    decimal,
    integer,
    long_integer,
    python2_string,
    quoted,
    unicode_line,
)

#: Limit against bombs: how deep things nest.
MAX_DEPTH = 300

_KEY_TYPES = (str, int, float, bool, bytes, type(None))


def _key(key, depth=0):
    if isinstance(key, tuple) and depth < 3 and len(key) < 100:
        return tuple(_key(part, depth + 1) for part in key)
    if isinstance(key, Global):
        return str(key)
    if not isinstance(key, _KEY_TYPES) or (isinstance(key, int) and not -(1 << 63) <= key < 1 << 64):
        raise CheckpointError(f"the pickle uses a {type(key).__name__} as a key")
    return key


def _set_items(target, items):
    if len(items) % 2:
        raise CheckpointError("the pickle sets a key without a value")
    if isinstance(target, Record):
        target = target.entries
    if not isinstance(target, dict):
        raise CheckpointError(f"the pickle sets keys of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value


def _append(target, items):
    if isinstance(target, Record):
        target = target.elements
    if not isinstance(target, list):
        raise CheckpointError(f"the pickle appends to a {type(target).__name__}")
    target.extend(items)


def _mark(machine):
    machine.marks.append(machine.stack)
    machine.stack = []
    if len(machine.marks) > MAX_DEPTH:
        raise CheckpointError(f"the pickle nests more than {MAX_DEPTH} levels deep")


def _pop(machine):
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _protocol(machine):
    version = machine.number("<B")
    if version > 5:
        raise CheckpointError(f"the pickle has protocol {version}; Python writes 0 to 5")


def _get(machine, index):
    try:
        machine.stack.append(machine.memo[index])
    except KeyError as e:
        raise CheckpointError("the pickle recalls something that it never stored") from e


def _put(machine, index):
    machine.memo[index] = machine.top()


def _tuple(machine, n):
    if len(machine.stack) < n:
        raise CheckpointError("the pickle takes from an empty stack")
    machine.stack[-n:] = [tuple(machine.stack[-n:])]


def _setitem(machine):
    value, key = machine.pop(), machine.pop()
    _set_items(machine.top(), [key, value])


def _setitems(machine):
    items = machine.pop_mark()
    _set_items(machine.top(), items)


def _appends(machine):
    items = machine.pop_mark()
    _append(machine.top(), items)


def _append_one(machine):
    item = machine.pop()
    _append(machine.top(), [item])


def _dict(machine):
    items, result = machine.pop_mark(), {}
    _set_items(result, items)
    machine.stack.append(result)


def _additems(machine):
    items = machine.pop_mark()
    target = machine.top()
    if not isinstance(target, set):
        raise CheckpointError(f"the pickle adds to a {type(target).__name__}")
    target.update(map(_key, items))


def _global(machine):
    module = machine.line()
    machine.stack.append(machine.find(module, machine.line()))


def _stack_global(machine):
    name, module = machine.pop(), machine.pop()
    machine.stack.append(machine.find(module, name))


def _reduce(machine):
    args, function = machine.pop(), machine.pop()
    machine.stack.append(machine.call(function, args))


def _newobj(machine):
    args, cls = machine.pop(), machine.pop()
    machine.stack.append(machine.make(cls, args))


def _newobj_ex(machine):
    kwargs, args, cls = machine.pop(), machine.pop(), machine.pop()
    made = machine.make(cls, args)
    if isinstance(made, Record) and isinstance(kwargs, dict):
        made.entries.update(kwargs)
    elif kwargs:
        raise CheckpointError("the pickle makes an object with keyword arguments that nothing here takes")
    machine.stack.append(made)


def _inst(machine):
    module = machine.line()
    cls = machine.find(module, machine.line())
    args = tuple(machine.pop_mark())
    machine.stack.append(machine.make(cls, args))


def _obj(machine):
    items = machine.pop_mark()
    if not items:
        raise CheckpointError("the pickle makes an object of no class")
    machine.stack.append(machine.make(items[0], tuple(items[1:])))


def _build(machine):
    state, target = machine.pop(), machine.top()
    if isinstance(target, Record):
        target.state = state
    elif isinstance(target, Rebuilt):
        target.set_state(state)
    elif not isinstance(target, dict):  # an OrderedDict's attributes, such as _metadata, say nothing about its tensors
        raise CheckpointError(f"the pickle sets the state of a {type(target).__name__}")


def _persistent(machine, key):
    if machine.persistent is None:
        raise CheckpointError("the pickle refers to data outside itself, which this kind of file does not have")
    machine.stack.append(machine.persistent(key))


def _extension(machine):
    raise CheckpointError("the pickle uses an extension code, which stands for code outside the file")


def _buffer(machine):
    raise CheckpointError("the pickle refers to buffers outside itself, which this kind of file does not have")


def _push(read):
    def operation(machine):
        value = read(machine)  # first: reading may put another stack in place
        machine.stack.append(value)

    return operation


#: What each opcode does to a `weights_convert.read.pickle_machine.Machine`; STOP is the machine's own.
OPERATIONS = {
    ord(code): operation
    for code, operation in {
        "(": _mark,
        "0": _pop,
        "1": lambda m: m.pop_mark(),
        "2": lambda m: m.stack.append(m.top()),
        "\x80": _protocol,
        "\x95": lambda m: m.take(8) and None,  # FRAME: a hint about lengths that are checked anyway
        "N": _push(lambda m: None),
        "\x88": _push(lambda m: True),
        "\x89": _push(lambda m: False),
        "I": _push(lambda m: integer(m.line())),
        "L": _push(lambda m: integer(m.line())),
        "J": _push(lambda m: m.number("<i")),
        "K": _push(lambda m: m.number("<B")),
        "M": _push(lambda m: m.number("<H")),
        "\x8a": _push(lambda m: long_integer(m, m.number("<B"))),
        "\x8b": _push(lambda m: long_integer(m, m.number("<i"))),
        "F": _push(lambda m: decimal(m.line())),
        "G": _push(lambda m: m.number(">d")),
        "S": _push(lambda m: quoted(m.line())),
        "T": _push(lambda m: python2_string(counted(m, "<i"))),
        "U": _push(lambda m: python2_string(counted(m, "<B"))),
        "V": _push(unicode_line),
        "X": _push(lambda m: blob(counted(m, "<I"), text=True)),
        "\x8c": _push(lambda m: blob(counted(m, "<B"), text=True)),
        "\x8d": _push(lambda m: blob(counted(m, "<Q"), text=True)),
        "B": _push(lambda m: blob(counted(m, "<I"))),
        "C": _push(lambda m: blob(counted(m, "<B"))),
        "\x8e": _push(lambda m: blob(counted(m, "<Q"))),
        "\x96": _push(lambda m: blob(counted(m, "<Q"))),
        "]": _push(lambda m: []),
        "}": _push(lambda m: {}),
        ")": _push(lambda m: ()),
        "\x8f": _push(lambda m: set()),
        "l": _push(lambda m: list(m.pop_mark())),
        "t": _push(lambda m: tuple(m.pop_mark())),
        "\x91": _push(lambda m: frozenset(map(_key, m.pop_mark()))),
        "d": _dict,
        "\x85": lambda m: _tuple(m, 1),
        "\x86": lambda m: _tuple(m, 2),
        "\x87": lambda m: _tuple(m, 3),
        "a": _append_one,
        "e": _appends,
        "s": _setitem,
        "u": _setitems,
        "\x90": _additems,
        "g": lambda m: _get(m, integer(m.line())),
        "h": lambda m: _get(m, m.number("<B")),
        "j": lambda m: _get(m, m.number("<I")),
        "p": lambda m: _put(m, integer(m.line())),
        "q": lambda m: _put(m, m.number("<B")),
        "r": lambda m: _put(m, m.number("<I")),
        "\x94": lambda m: _put(m, len(m.memo)),
        "c": _global,
        "\x93": _stack_global,
        "R": _reduce,
        "\x81": _newobj,
        "\x92": _newobj_ex,
        "i": _inst,
        "o": _obj,
        "b": _build,
        "P": lambda m: _persistent(m, m.line()),
        "Q": lambda m: _persistent(m, m.pop()),
        "\x82": _extension,
        "\x83": _extension,
        "\x84": _extension,
        "\x97": _buffer,
        "\x98": _buffer,
    }.items()
}
