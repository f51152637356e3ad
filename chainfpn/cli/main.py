"""The ``chainfpn`` command."""

import contextlib
import gc
import importlib.util
import io
import os
import sys
from collections.abc import Sequence

from chainfpn.cli.errors import CommandError, UsageError
from chainfpn.cli.output import silence
from chainfpn.cli.parser import make_parser

#: The sub-commands. Each is a module here, see :func:`~chainfpn.cli.parser.make_parser`.
COMMANDS = ("detect", "demo", "features", "models", "data", "train", "evaluate", "export", "compat", "info")

#: Those that do not need Chainer.
_WITHOUT_CHAINER = ("models", "compat")

#: New objects at which cyclic garbage is looked for: at Python's 700 a seventh of the start of a command went there.
_GC_THRESHOLD = 10_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv (sequence of str or None): The arguments; ``sys.argv[1:]`` by default.

    Returns:
        int: Exit status: 0, or 1 if anything requested could not be done. Wrong usage ends with status 2, and Ctrl-C,
        which is raised here, the process with 130.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(_GC_THRESHOLD, *thresholds[1:])
    try:
        return _run(argv)
    finally:
        gc.set_threshold(*thresholds)


def _run(argv: Sequence[str] | None) -> int:
    parser, parsers = make_parser(COMMANDS)
    words = sys.argv[1:] if argv is None else argv
    if "" in words:  # a variable of a shell that is not set; as a path it would be the current folder
        parser.error("no argument may be empty")
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        parsers[arguments.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not a notebook's, nor a StringIO
            stream.reconfigure(errors="backslashreplace")  # a file name may be anything
    arguments.stdout = sys.stdout
    try:
        if arguments.command not in _WITHOUT_CHAINER:
            importlib.util.find_spec("chainer")  # which says how to get it where it is missing
        with silence() if getattr(arguments, "quiet", False) else contextlib.nullcontext():
            status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        parsers[arguments.command].error(str(error))
    except (CommandError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in ("chainer", "chainercv"):
            raise
        print(f"chainfpn {arguments.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
