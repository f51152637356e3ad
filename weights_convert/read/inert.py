"""What stands for the things a pickle talks about. Nothing here imports, calls or looks up what the pickle names."""

import sys

from weights_convert.errors import CheckpointError

#: Modules of the standard library in Python 2 or in Pythons to come or gone, beside those this Python knows.
_MORE_STANDARD_MODULES = frozenset(
    [
        "__builtin__",
        "commands",
        "copy_reg",
        "cPickle",
        "cStringIO",
        "StringIO",
        "popen2",
        "sets",
        "UserDict",
        "UserList",
        "urllib2",
        "asynchat",
        "asyncore",
        "cgi",
        "crypt",
        "distutils",
        "imp",
        "nntplib",
        "nis",
        "pipes",
        "smtpd",
        "spwd",
        "telnetlib",
        "nt",
        "posix",
        "ntpath",
        "riscos",
    ]
)


class Global:
    """A ``module.name`` that a pickle mentions and that is not on the allow-list: kept as two words."""

    __slots__ = ("module", "name")

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __str__(self):
        return f"{self.module}.{self.name}"


class Record:
    """An object of a class that is never imported: what the pickle says about it, as data.

    Attributes:
        cls: A `Global` or the name of a known class.
        args (tuple): What the class would have been made from.
        state: What ``__setstate__`` or ``__dict__`` would have been given.
        entries (dict): Items set on it, for subclasses of dict.
        elements (list): Items appended to it, for subclasses of list.
    """

    __slots__ = ("args", "cls", "elements", "entries", "state")

    def __init__(self, cls, args=()):
        self.cls, self.args = cls, args
        self.state, self.entries, self.elements = None, {}, []

    def attributes(self):
        """Return the attributes the object would have, as far as its state is a dict of them."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2:
            return {k: v for part in state if isinstance(part, dict) for k, v in part.items()}
        return state if isinstance(state, dict) else {}


class Blob:
    """A long run of bytes in a pickle, left where it is in the file.

    Args:
        view (memoryview): The bytes as they are in the file.
        is_text (bool): Whether they are UTF-8 of text that is latin-1 of the meant bytes: how protocol 2 writes bytes.
    """

    __slots__ = ("is_text", "view")

    def __init__(self, view, is_text=False):
        self.view, self.is_text = view, is_text

    def bytes(self):
        """Return the meant bytes."""
        if not self.is_text:
            return self.view
        try:
            return memoryview(str(self.view, "utf-8").encode("latin-1"))
        except UnicodeError as e:
            raise CheckpointError("bytes written as text that is not latin-1") from e


def is_standard(module):
    """Return whether ``module`` is part of Python itself, where the names that do things live."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in _MORE_STANDARD_MODULES


def nested(value):
    """Return the values directly inside ``value``."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, Record):
        return [value.args, value.state, value.entries, value.elements]
    return ()
