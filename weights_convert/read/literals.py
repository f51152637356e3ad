"""Numbers, texts and bytes as pickles write them, within limits."""

import codecs
from typing import TYPE_CHECKING

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.placeholders import Blob

if TYPE_CHECKING:
    from weights_convert.read.pickle_machine import Machine

#: Bytes of an integer, at most.
MAX_LONG = 1024

#: Bytes and text longer than this stay in the file until they are needed.
LONG_BYTES = 1024


def decode(data: memoryview | bytes, encoding: str = "utf-8") -> str:
    """Return text from bytes."""
    try:
        return str(data, encoding)
    except UnicodeDecodeError as error:
        fault = "not UTF-8" if encoding == "utf-8" else "badly escaped"
        raise CheckpointError(f"the pickle has text that is {fault}") from error


def blob(data: memoryview, text: bool = False) -> Blob | str | bytes:
    """Return bytes or text, left in the file where it is long."""
    if len(data) > LONG_BYTES:
        return Blob(data, text)
    return decode(data) if text else bytes(data)


def python2_string(data: memoryview) -> Blob | str:
    """Return what Python 2 wrote, text or bytes, as latin-1."""
    return Blob(data) if len(data) > LONG_BYTES else decode(data, "latin-1")


def integer(text: str) -> int:
    """Return an integer (or a bool) written in decimal."""
    if len(text) > 40:
        raise CheckpointError("the pickle has a number of more than 40 digits")
    if text in ("00", "01"):
        return text == "01"
    with translate(ValueError, f"the pickle has {text[:20]!r} where a number belongs"):
        return int(text.removesuffix("L"))


def decimal(text: str) -> float:
    """Return a float written in decimal."""
    with translate(ValueError, f"the pickle has {text[:20]!r} where a number belongs"):
        return float(text)


def quoted(text: str) -> str:
    """Return a quoted and escaped string."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        raise CheckpointError("the pickle has a string without quotes")
    with translate(ValueError, "the pickle has a string that is badly escaped"):
        return str(codecs.escape_decode(text[1:-1])[0], "latin-1")


def long_integer(machine: "Machine", size: int) -> int:
    """Return an integer of ``size`` bytes."""
    if not 0 <= size <= MAX_LONG:
        raise CheckpointError(f"the pickle has an integer of {size} bytes")
    return int.from_bytes(machine.take(size), "little", signed=True)


def counted(machine: "Machine", layout: str) -> memoryview:
    """Return bytes after their length in struct's ``layout``."""
    size = machine.number(layout)
    if size < 0:
        raise CheckpointError("the pickle claims a negative length")
    return machine.take(size)
