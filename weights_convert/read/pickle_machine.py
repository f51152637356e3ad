"""A pickle reader that cannot execute anything: it knows what every opcode builds, and builds it from inert parts.

The standard unpickler imports what a pickle names and calls it. This one has no import and no call: names are looked up
in an exact allow-list (`weights_convert.read.allow_list`) of our own builders. What is not on it becomes a `Record`
when the pickle makes an object of a class, and an error when the pickle would call it or when Python itself owns it.
"""

import struct

from weights_convert.errors import CheckpointError
from weights_convert.read.allow_list import ALLOWED
from weights_convert.read.builder import Builder
from weights_convert.read.inert import Global, Record, is_standard, nested
from weights_convert.read.literals import decode
from weights_convert.read.opcodes import MAX_DEPTH, OPERATIONS

#: Limits against bombs. A state dict of 1,000 tensors takes 60,000 opcodes.
MAX_OPCODES = 1_000_000
MAX_LINE = 4096


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
        operations, data = OPERATIONS, self.data
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
        return decode(piece[:end])

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
