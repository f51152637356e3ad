"""What ends a command with one sentence instead of a traceback."""


class CommandError(Exception):
    """The command cannot go on; the message is all that its user needs."""


class UsageError(CommandError):
    """The command line is wrong, whatever the files hold: exit status 2."""
