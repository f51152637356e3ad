"""What stands for the things a pickle talks about. Nothing here imports, calls or looks up what the pickle names."""

import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weights_convert.errors import translate

#: Modules of the standard library of Python 2, and of Pythons before this one.
_OLDER_STANDARD_MODULES = {
    "__builtin__", "commands", "copy_reg", "cPickle", "cStringIO", "StringIO", "popen2", "sets", "UserDict", "UserList",
    "urllib2", "asynchat", "asyncore", "cgi", "crypt", "distutils", "imp", "nntplib", "nis", "pipes", "smtpd", "spwd",
    "telnetlib", "riscos",
}  # fmt: skip


_LEAVES = (str, int, float, bytes, type(None))


class Global:
    """A ``module.name`` that a pickle mentions and that is not on the allow-list: kept as two words.

    Attributes:
        module (str): The first word.
        name (str): The second.
        refused (str): Why a state dict that holds it is refused, a sentence; empty if it is not.
    """

    __slots__ = ("module", "name", "refused")

    def __init__(self, module: str, name: str, refused: str = "") -> None:
        self.module, self.name, self.refused = module, name, refused

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Record:
    """An object of a class that is never imported: what the pickle says about it, as data.

    Attributes:
        cls: A `Global` or the name of a known class.
        args (tuple): What the class would have been made from.
        state: What ``__setstate__`` or ``__dict__`` would have been given.
        entries (dict): Items set on it, for subclasses of dict.
        elements (list): Items appended to it, for subclasses of list.
        refused (str): Why a state dict that holds it is refused: what would have been called for it.
    """

    __slots__ = ("args", "cls", "elements", "entries", "refused", "state")

    def __init__(self, cls: Global | str, args: tuple[Any, ...] = (), refused: str = "") -> None:
        self.cls, self.args, self.refused = cls, args, refused
        self.state: Any = None
        self.entries: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def attributes(self) -> Mapping[Any, Any]:
        """Return the attributes the object would have, as far as its state is a dict of them."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2:  # __dict__, and what is in __slots__
            return ChainMap(*(part for part in reversed(state) if isinstance(part, dict)))
        return state if isinstance(state, dict) else {}


class Blob:
    """A long run of bytes in a pickle, left where it is in the file.

    Args:
        view (memoryview): The bytes as they are in the file.
        is_text (bool): Whether they are UTF-8 of text that is latin-1 of the meant bytes: how protocol 2 writes bytes.
    """

    __slots__ = ("is_text", "view")

    def __init__(self, view: memoryview, is_text: bool = False) -> None:
        self.view, self.is_text = view, is_text

    def bytes(self) -> memoryview:
        """Return the meant bytes."""
        if not self.is_text:
            return self.view
        with translate(UnicodeError, "bytes written as text that is not latin-1"):
            return memoryview(str(self.view, "utf-8").encode("latin-1"))


def is_standard(module: str) -> bool:
    """Return whether ``module`` is part of Python itself, where the names that do things live."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in _OLDER_STANDARD_MODULES


def walk(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield a value and everything in it, each once, but for what was ``seen``."""
    level = [value]
    while level:
        item = level.pop()
        if id(item) not in seen:
            seen.add(id(item))
            yield item
            level += nested(item)


def first_refused(value: Any, seen: set[int]) -> Global | Record | None:
    """Return the first thing in a value for which a state dict with it is refused, but for what was ``seen``."""
    return next((item for item in walk(value, seen) if isinstance(item, (Global, Record)) and item.refused), None)


def nested(value: Any) -> list[Any]:
    """Return the values directly inside ``value``, but for numbers, texts and what is empty: there may be many."""
    if isinstance(value, Record):
        items: Iterable[Any] = (value.cls, value.args, value.state, value.entries, value.elements)
    elif isinstance(value, dict):
        items = value.values()
    else:
        items = value if isinstance(value, (list, tuple, set, frozenset)) else ()
    return [item for item in items if not isinstance(item, _LEAVES) and item]
