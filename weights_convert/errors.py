"""What goes wrong with a checkpoint, always as one readable sentence."""


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint, or that must not be trusted."""


class ConversionError(CheckpointError):
    """A checkpoint that was read well but does not fit the model it is for.

    Attributes:
        report (Report): What was mapped, dropped, missing and unexpected.
    """

    def __init__(self, message, report=None):
        super().__init__(message)
        self.report = report
