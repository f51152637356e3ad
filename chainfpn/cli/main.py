"""The ``chainfpn`` command."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence

import chainfpn
from chainfpn.cli import compat, demo, detect, evaluate, info, models, train
from chainfpn.cli.errors import CommandError

#: The sub-commands. Each is a module whose docstring is the help text, with ``add_arguments(parser)``, which declares
#: the options, and ``run(arguments)``, which returns the exit status or raises a :class:`CommandError`.
COMMANDS = {
    "detect": detect,
    "demo": demo,
    "models": models,
    "train": train,
    "evaluate": evaluate,
    "compat": compat,
    "info": info,
}

#: Those that do not need Chainer.
_WITHOUT_CHAINER = ("models", "compat")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv (sequence of str or None): The arguments; ``sys.argv[1:]`` by default.

    Returns:
        int: Exit status: 0, or 1 if anything requested could not be done. Wrong usage ends with status 2.
    """
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a file name may be anything
    try:
        if arguments.command not in _WITHOUT_CHAINER:
            importlib.util.find_spec("chainer")  # which says how to get it where it is missing
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except (CommandError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in ("chainer", "chainercv"):
            raise
        print(f"chainfpn {arguments.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chainfpn", description="Torchvision's detectors in Chainer.")
    parser.add_argument("--version", action="version", version=f"chainfpn {chainfpn.__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary, _, rest = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            name,
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=summary,
            epilog=rest.strip() or None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
