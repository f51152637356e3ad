"""Numbers, texts and bytes as pickles write them, within limits."""

import codecs

from weights_convert.errors import CheckpointError
from weights_convert.read.inert import Blob

#: Bytes of an integer, at most.
MAX_LONG = 1024

#: Bytes and text longer than this stay in the file until they are needed.
LONG_BYTES = 1024


def decode(data, encoding="utf-8"):
    """Return text from bytes."""
    try:
        return str(data, encoding)
    except UnicodeDecodeError as e:
        raise CheckpointError("the pickle has text that is not UTF-8") from e


def blob(data, text=False):
    """Return bytes or text, left in the file where it is long."""
    if len(data) > LONG_BYTES:
        return Blob(data, text)
    return decode(data) if text else bytes(data)


def python2_string(data):
    """Return what Python 2 wrote, text or bytes, as latin-1."""
    return Blob(data) if len(data) > LONG_BYTES else decode(data, "latin-1")


def integer(text):
    """Return an integer written in decimal."""
    if len(text) > 40:
        raise CheckpointError("the pickle has a number of more than 40 digits")
    if text in ("00", "01"):
        return text == "01"
    try:
        return int(text.removesuffix("L"))
    except ValueError as e:
        raise CheckpointError(f"the pickle has {text[:20]!r} where a number belongs") from e


def decimal(text):
    """Return a float written in decimal."""
    try:
        return float(text)
    except ValueError as e:
        raise CheckpointError(f"the pickle has {text[:20]!r} where a number belongs") from e


def quoted(text):
    """Return a quoted and escaped string."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        raise CheckpointError("the pickle has a string without quotes")
    try:
        return str(codecs.escape_decode(text[1:-1])[0], "latin-1")
    except ValueError as e:
        raise CheckpointError("the pickle has a string that is badly escaped") from e


def unicode_line(machine):
    """Return a line of escaped text."""
    try:
        return machine.line().encode("ascii").decode("raw-unicode-escape")
    except UnicodeError as e:
        raise CheckpointError("the pickle has text that is badly escaped") from e


def long_integer(machine, size):
    """Return an integer of ``size`` bytes."""
    if not 0 <= size <= MAX_LONG:
        raise CheckpointError(f"the pickle has an integer of {size} bytes")
    return int.from_bytes(machine.take(size), "little", signed=True)


def counted(machine, layout):
    """Return bytes after their length in struct's ``layout``."""
    size = machine.number(layout)
    if size < 0:
        raise CheckpointError("the pickle claims a negative length")
    return machine.take(size)
