"""How the command line is parsed, and how its help looks: 80 columns, a screen, an example."""

import argparse
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NoReturn

import chainfpn


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Options and texts side by side; a usage line that does not repeat all options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=33, width=79)

    def start_section(self, heading: str | None) -> None:
        super().start_section(None if heading == "options" else heading)

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: Any = None) -> None:
        needed = [action for action in actions if action.required]
        words = [_words(action) for action in sorted(needed, key=lambda action: not action.option_strings)]
        super().add_usage(" ".join([self._prog, *words, "[options]"]), [], [], prefix)


def _words(action: argparse.Action) -> str:
    """Return how an argument that must be there is written."""
    value = action.metavar or "|".join(action.choices or ())
    return " ".join([*action.option_strings[:1], f"{value}{' ...' if action.nargs == '+' else ''}"])


class Parser(argparse.ArgumentParser):
    """A parser whose error is one line, and whose every command has an example below its options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, **options)

    def error(self, message: str) -> NoReturn:
        """End the program with status 2."""
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}; {self.prog} --help lists the options\n")


def make_parser(names: Iterable[str]) -> tuple[Parser, dict[str, Parser]]:
    """Make the parser.

    Args:
        names (iterable of str): The commands. Each is a module of this package whose docstring is the help text, with
            ``add_arguments(parser)``, which declares the options, and ``run(arguments)``, which returns the exit status
            or raises a :class:`~chainfpn.cli.errors.CommandError`.

    Returns:
        tuple: The parser, and that of each command.
    """
    parser = Parser(
        prog="chainfpn",
        description="torchvision's detectors in Chainer.",
        epilog="Example:\n  chainfpn detect street.jpg\n\nCOMMAND --help lists the options of each, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"chainfpn {chainfpn.__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", prog="chainfpn"
    )
    parsers = {}
    for name in names:
        module = import_module(f"chainfpn.cli.{name}")
        summary, _, rest = (module.__doc__ or "").partition("\n")
        shown = summary[0].lower() + summary[1:].rstrip(".")
        parsers[name] = commands.add_parser(name, help=shown, description=summary, epilog=rest.strip() or None)
        module.add_arguments(parsers[name])
        parsers[name].set_defaults(run=module.run)
    return parser, parsers
