"""A pickle reader that cannot execute anything: it knows what every opcode builds, and builds it from inert parts.

The standard unpickler imports what a pickle names and calls it. This one has no import and no call: names are looked up
in an exact allow-list (`weights_convert.read.rebuild`) of our own builders. What is not on it becomes a `Record` when
the pickle makes an object of a class, and an error when the pickle would call it or when Python itself owns it.
"""

import codecs
import struct

from weights_convert.errors import CheckpointError
from weights_convert.read.inert import Blob, Global, Record, is_standard, nested
from weights_convert.read.rebuild import ALLOWED, Builder, Rebuilt

#: Limits against bombs. A state dict of 1,000 tensors takes 60,000 opcodes.
MAX_OPCODES = 1_000_000
MAX_DEPTH = 300
MAX_LINE = 4096
MAX_LONG = 1024

#: Bytes and text longer than this stay in the file until they are needed.
_LONG_BYTES = 1024

_KEY_TYPES = (str, int, float, bool, bytes, type(None))


class Machine:
    """Run one or more pickles that lie one after the other in ``data``.

    Args:
        data (memoryview): The bytes.
        persistent (callable or None): Maps a persistent id to a value; without one, persistent ids are refused.
        allowed (dict): ``{(module, name): Builder or value}``.
    """

    def __init__(self, data, *, persistent=None, allowed=ALLOWED):
        self.data, self.position = data, 0
        self.persistent, self.allowed = persistent, allowed
        self.n_opcodes = 0

    def load(self):
        """Run the pickle at `position` and return what it builds; `position` is after it."""
        self.stack, self.marks, self.memo = [], [], {}
        operations, data = _OPERATIONS, self.data
        while True:
            if self.position >= len(data):
                raise CheckpointError("the pickle ends before its STOP: the file is truncated or is no pickle")
            code = data[self.position]
            self.position += 1
            self.n_opcodes += 1
            if self.n_opcodes > MAX_OPCODES:
                raise CheckpointError(f"the pickle has more than {MAX_OPCODES} opcodes")
            if code == 0x2E:  # STOP
                value = self.pop()
                _check_depth(value)
                return value
            operation = operations.get(code)
            if operation is None:
                raise CheckpointError(f"byte {self.position - 1} of the pickle, 0x{code:02x}, is no pickle opcode")
            operation(self)

    def take(self, size):
        """Return the next ``size`` bytes."""
        start = self.position
        if size > len(self.data) - start:
            raise CheckpointError(f"the pickle claims {size} bytes where {len(self.data) - start} are left")
        self.position = start + size
        return self.data[start : start + size]

    def number(self, layout):
        """Return the next number in struct's ``layout``."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self):
        """Return the next line of ASCII or UTF-8 text, without its end."""
        piece = bytes(self.data[self.position : self.position + MAX_LINE])
        end = piece.find(b"\n")
        if end < 0:
            raise CheckpointError("the pickle has a line of text without an end")
        self.position += end + 1
        return _text(piece[:end])

    def pop(self):
        """Return the top of the stack."""
        if not self.stack:
            raise CheckpointError("the pickle takes from an empty stack")
        return self.stack.pop()

    def top(self):
        """Return the top of the stack, which stays there."""
        if not self.stack:
            raise CheckpointError("the pickle looks at an empty stack")
        return self.stack[-1]

    def pop_mark(self):
        """Return everything since the last MARK."""
        if not self.marks:
            raise CheckpointError("the pickle uses a MARK that it never made")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def find(self, module, name):
        """Return what stands for ``module.name``: from the allow-list, or a `Global`, never the thing itself."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise CheckpointError("the pickle names a global by something that is not text")
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        if is_standard(module):
            raise CheckpointError(
                f"the pickle asks for {module}.{name}, which has no place in a checkpoint: do not trust this file"
            )
        return Global(module, name)

    def call(self, function, args):
        """Build what calling ``function`` would have given; only the allow-list's own builders are ever run."""
        if not isinstance(args, tuple):
            raise CheckpointError("the pickle calls something with arguments that are not a tuple")
        if isinstance(function, Builder):
            self.n_opcodes += sum(len(arg) for arg in args if isinstance(arg, (list, tuple, dict, set, frozenset)))
            return function.build(args)
        if isinstance(function, Global):
            raise CheckpointError(
                f"the pickle would call {function}, which is not one of the functions that rebuild tensors"
            )
        raise CheckpointError(f"the pickle would call a {type(function).__name__}, which is not a function")

    def make(self, cls, args):
        """Build what making an object of ``cls`` would have given."""
        if isinstance(cls, Global) and isinstance(args, tuple):
            return Record(cls, args)
        return self.call(cls, args)


def _text(data, encoding="utf-8"):
    try:
        return str(data, encoding)
    except UnicodeDecodeError as e:
        raise CheckpointError("the pickle has text that is not UTF-8") from e


def _check_depth(value):
    level, seen = [value], set()
    for _ in range(MAX_DEPTH):
        following = []
        for item in level:
            if id(item) not in seen:
                seen.add(id(item))
                following += nested(item)
        if not following:
            return
        level = following
    raise CheckpointError(f"the pickle nests more than {MAX_DEPTH} levels deep")


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


def _blob(data, text=False):
    if len(data) > _LONG_BYTES:
        return Blob(data, text)
    return _text(data) if text else bytes(data)


def _python2_string(data):
    return Blob(data) if len(data) > _LONG_BYTES else _text(data, "latin-1")


def _integer(text):
    if len(text) > 40:
        raise CheckpointError("the pickle has a number of more than 40 digits")
    if text in ("00", "01"):
        return text == "01"
    try:
        return int(text.removesuffix("L"))
    except ValueError as e:
        raise CheckpointError(f"the pickle has {text[:20]!r} where a number belongs") from e


def _float(text):
    try:
        return float(text)
    except ValueError as e:
        raise CheckpointError(f"the pickle has {text[:20]!r} where a number belongs") from e


def _quoted(text):
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        raise CheckpointError("the pickle has a string without quotes")
    try:
        return str(codecs.escape_decode(text[1:-1])[0], "latin-1")
    except ValueError as e:
        raise CheckpointError("the pickle has a string that is badly escaped") from e


def _unicode_line(machine):
    try:
        return machine.line().encode("ascii").decode("raw-unicode-escape")
    except UnicodeError as e:
        raise CheckpointError("the pickle has text that is badly escaped") from e


def _long(machine, size):
    if not 0 <= size <= MAX_LONG:
        raise CheckpointError(f"the pickle has an integer of {size} bytes")
    return int.from_bytes(machine.take(size), "little", signed=True)


def _counted(machine, layout):
    size = machine.number(layout)
    if size < 0:
        raise CheckpointError("the pickle claims a negative length")
    return machine.take(size)


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


_OPERATIONS = {
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
        "I": _push(lambda m: _integer(m.line())),
        "L": _push(lambda m: _integer(m.line())),
        "J": _push(lambda m: m.number("<i")),
        "K": _push(lambda m: m.number("<B")),
        "M": _push(lambda m: m.number("<H")),
        "\x8a": _push(lambda m: _long(m, m.number("<B"))),
        "\x8b": _push(lambda m: _long(m, m.number("<i"))),
        "F": _push(lambda m: _float(m.line())),
        "G": _push(lambda m: m.number(">d")),
        "S": _push(lambda m: _quoted(m.line())),
        "T": _push(lambda m: _python2_string(_counted(m, "<i"))),
        "U": _push(lambda m: _python2_string(_counted(m, "<B"))),
        "V": _push(_unicode_line),
        "X": _push(lambda m: _blob(_counted(m, "<I"), text=True)),
        "\x8c": _push(lambda m: _blob(_counted(m, "<B"), text=True)),
        "\x8d": _push(lambda m: _blob(_counted(m, "<Q"), text=True)),
        "B": _push(lambda m: _blob(_counted(m, "<I"))),
        "C": _push(lambda m: _blob(_counted(m, "<B"))),
        "\x8e": _push(lambda m: _blob(_counted(m, "<Q"))),
        "\x96": _push(lambda m: _blob(_counted(m, "<Q"))),
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
        "g": lambda m: _get(m, _integer(m.line())),
        "h": lambda m: _get(m, m.number("<B")),
        "j": lambda m: _get(m, m.number("<I")),
        "p": lambda m: _put(m, _integer(m.line())),
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
