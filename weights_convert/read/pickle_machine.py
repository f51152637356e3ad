"""A pickle reader that cannot execute anything: it knows what every opcode builds, and builds it from inert parts.

The standard unpickler imports what a pickle names and calls it. This one has no import and no call: names are looked up
in an exact allow-list (`weights_convert.read.allow_list`) of our own builders. What is not on it becomes a `Record`
when the pickle makes an object of a class, and an error when the pickle would call it or when Python itself owns it.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from weights_convert.errors import CheckpointError
from weights_convert.read.allow_list import ALLOWED
from weights_convert.read.literals import decode
from weights_convert.read.opcodes import COSTS, MAX_DEPTH, OPERATIONS
from weights_convert.read.placeholders import Global, Record, is_standard, nested
from weights_convert.read.rebuild import Rebuilder, would_call

#: Limits against bombs: how many steps any pickle may take, and how many more for each byte of its file.
FREE_STEPS = 2_000_000
STEPS_PER_BYTE = 2
MAX_LINE = 4096


class Machine:
    """Run one or more pickles that lie one after the other in ``data``.

    Args:
        data (memoryview): The bytes.
        persistent (callable or None): Maps a persistent id to a value; without one, persistent ids are refused.
        allowed (dict): ``{(module, name): Rebuilder or value}``.
        stored_size (int or None): How many bytes the data takes in the file, where it is deflated there.
    """

    def __init__(
        self,
        data: memoryview,
        *,
        persistent: Callable[[Any], Any] | None = None,
        allowed: Mapping[tuple[str, str], Any] = ALLOWED,
        stored_size: int | None = None,
    ) -> None:
        self.data, self.position = data, 0
        self.persistent, self.allowed = persistent, allowed
        self.refused, self._strict = "", True
        self.steps_left = FREE_STEPS + STEPS_PER_BYTE * (len(data) if stored_size is None else stored_size)

    def load(self, *, strict: bool = True) -> Any:
        """Run the pickle at `position` and return what it builds; `position` is after it.

        Args:
            strict (bool): Refuse a name of Python's own, and any call of what is not on the list. Otherwise they become
                placeholders, the first of which is kept as `refused`: the caller looks where they are.
        """
        self._strict = strict
        try:
            return self._run()
        except CheckpointError as error:
            raise (CheckpointError(self.refused) if self.refused else error) from error.__cause__

    def _run(self) -> Any:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        operations, costs, data = OPERATIONS, COSTS, self.data
        while True:
            if self.position >= len(data):
                raise CheckpointError("the pickle ends before its STOP: the file is truncated or is no pickle")
            code = data[self.position]
            self.position += 1
            self.steps_left -= costs[code]
            if self.steps_left < 0:
                self.spend(0)
            if code == 0x2E:  # STOP
                value = self.pop()
                _check_depth(value)
                return value
            operation = operations.get(code)
            if operation is None:
                raise CheckpointError(f"byte {self.position - 1} of the pickle, 0x{code:02x}, is no pickle opcode")
            operation(self)

    def spend(self, steps: int) -> None:
        """Count work, which may be no more than the file is large."""
        self.steps_left -= steps
        if self.steps_left < 0:
            raise CheckpointError("the pickle takes more steps than a file of its size needs")

    def take(self, size: int) -> memoryview:
        """Return the next ``size`` bytes."""
        start = self.position
        if size > len(self.data) - start:
            raise CheckpointError(f"the pickle claims {size} bytes where {len(self.data) - start} are left")
        self.position = start + size
        return self.data[start : start + size]

    def number(self, layout: str) -> Any:
        """Return the next number in struct's ``layout``."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self, encoding: str = "utf-8") -> str:
        """Return the next line of text, without its end."""
        piece = bytes(self.data[self.position : self.position + MAX_LINE])
        end = piece.find(b"\n")
        if end < 0:
            raise CheckpointError("the pickle has a line of text without an end")
        self.position += end + 1
        return decode(piece[:end], encoding)

    def pop(self) -> Any:
        """Return the top of the stack."""
        if not self.stack:
            raise CheckpointError("the pickle takes from an empty stack")
        return self.stack.pop()

    def pop_several(self, n: int) -> list[Any]:
        """Return the ``n`` values at the top of the stack, the last of which is the top."""
        if len(self.stack) < n:
            raise CheckpointError("the pickle takes from an empty stack")
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def top(self) -> Any:
        """Return the top of the stack, which stays there."""
        if not self.stack:
            raise CheckpointError("the pickle looks at an empty stack")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Return everything since the last MARK."""
        if not self.marks:
            raise CheckpointError("the pickle uses a MARK that it never made")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def find(self, module: Any, name: Any) -> Any:
        """Return what stands for ``module.name``: from the allow-list, or a `Global`, never the thing itself."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise CheckpointError("the pickle names a global by something that is not text")
        if (module, name) in self.allowed:
            return self.allowed[module, name]
        if not is_standard(module):
            return Global(module, name)
        sentence = f"the pickle asks for {module}.{name}, which has no place in a checkpoint: do not trust this file"
        return Global(module, name, self._refuse(sentence))

    def _refuse(self, sentence: str) -> str:
        if self._strict:
            raise CheckpointError(sentence)
        self.refused = self.refused or sentence
        return sentence

    def call(self, function: Any, args: Any) -> Any:
        """Build what calling ``function`` would have given; only the allow-list's own rebuilders are ever run."""
        if not isinstance(args, tuple):
            raise CheckpointError("the pickle calls something with arguments that are not a tuple")
        if isinstance(function, Global):
            return Record(function, args, self._refuse(function.refused or would_call(function)))
        self.spend(sum(len(arg) for arg in args if isinstance(arg, (list, tuple, dict, set, frozenset, str, bytes))))
        if not isinstance(function, Rebuilder):
            raise CheckpointError(f"the pickle would call a {type(function).__name__}, which is not a function")
        is_refused = self.refused and any(isinstance(arg, (Global, Record)) and arg.refused for arg in args)
        if is_refused and not function.keeps:  # what it is given, for whoever looks for it
            raise CheckpointError(self.refused)
        return function.rebuild(args)

    def make(self, cls: Any, args: Any) -> Any:
        """Build what making an object of ``cls`` would have given."""
        if isinstance(cls, Global) and isinstance(args, tuple):
            return Record(cls, args, cls.refused)
        return self.call(cls, args)


def _check_depth(value: Any) -> None:
    level, seen = [value], set[int]()
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            if id(item) not in seen:
                seen.add(id(item))
                following += nested(item)
        if not following:
            return
        level = following
    raise CheckpointError(f"the pickle nests more than {MAX_DEPTH} levels deep")
