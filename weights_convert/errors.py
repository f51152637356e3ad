"""What goes wrong with a checkpoint, always as one readable sentence."""


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint, or that must not be trusted."""


def printable(text, limit=400):
    """Return text from a file so that it can be shown: on one line, without control characters, not without end."""
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


class ConversionError(CheckpointError):
    """A checkpoint that was read well but does not fit the model it is for.

    Attributes:
        report (Report): What was mapped, dropped, missing and unexpected.
    """

    def __init__(self, message, report=None):
        super().__init__(message)
        self.report = report
