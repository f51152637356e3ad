"""What goes wrong with a checkpoint, always as one readable sentence."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weights_convert.report import Report

#: Letters of a file that are shown at a time.
_MAX_TEXT = 400


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint, or that must not be trusted.

    Attributes:
        file (str or None): The file's name.
        names (tuple of str): The tensors it is about, by their names in the file.
    """

    def __init__(self, message: str, *, file: str | None = None, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.file, self.names = file, tuple(names)


class ConversionError(CheckpointError):
    """A checkpoint that was read well but does not fit the model it is for.

    Attributes:
        report (Report): What was mapped, dropped, missing, unexpected and misshapen.
        missing (list of str): Names that the model needs and the file lacks.
        unexpected (list of str): Names that the file has and the model has no place for.
        misshapen (dict): ``{name: [shape in the file, shape in the model]}``.
    """

    def __init__(self, message: str, report: "Report") -> None:
        names = [*report.missing, *report.unexpected, *report.misshapen, *report.refused]
        super().__init__(message, file=report.source, names=names)
        self.report = report
        self.missing, self.unexpected, self.misshapen = report.missing, report.unexpected, report.misshapen

    def __reduce__(self):
        return type(self), (str(self), self.report)


def printable(text: str) -> str:
    """Return text from a file so that it can be shown: on one line, without control characters, not without end."""
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."


def few(names: Sequence[str], most: int = 5) -> str:
    """Join names for a sentence.

    Args:
        names (sequence of str): The names.
        most (int): How many are named; dots stand for the others.

    Returns:
        str: The names, commas between them.

    Example:
        >>> few(["cat", "dog", "cow"], most=2)
        'cat, dog ...'
    """
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


@contextmanager
def error_context(name: str) -> Iterator[None]:
    """Put ``name`` before every CheckpointError that comes from within."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {printable(str(error))}", file=name, names=error.names) from error


@contextmanager
def translate(errors: type[Exception] | tuple[type[Exception], ...], sentence: str) -> Iterator[None]:
    """Raise a CheckpointError of one sentence in place of these errors."""
    try:
        yield
    except CheckpointError:
        raise
    except errors as error:
        raise CheckpointError(sentence) from error
