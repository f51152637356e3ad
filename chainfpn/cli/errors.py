"""What ends a command with one sentence instead of a traceback."""


class CommandError(Exception):
    """The command cannot go on; the message is all that its user needs."""
