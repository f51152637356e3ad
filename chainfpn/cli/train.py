r"""Train a detector on your own images.

Ctrl-C stops after the current step and saves; --resume goes on from there.
docs/training.md says what is written and what --data can be.

Example:
  chainfpn train --data photographs --held-out 0.2 --out runs/mine \
      --weights fasterrcnn_resnet50_fpn
  chainfpn train --resume --out runs/mine
  mpiexec -n 4 chainfpn train --mpi --device cuda --data coco --out runs/coco
"""

import argparse
import functools
from typing import Any

from chainfpn.cli.errors import CommandError, UsageError
from chainfpn.cli.parser import Parser
from chainfpn.cli.training_options import DEFAULTS, MORE_OPTIONS, OPTIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; what is not given is left out, so that --resume knows what was."""
    _add(parser, OPTIONS)
    _add(parser, MORE_OPTIONS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--help-all", action=_HelpAll, nargs=0, dest=argparse.SUPPRESS, default=argparse.SUPPRESS,
        help="list all options, also those of experts",
    )  # fmt: skip


def _add(parser: argparse.ArgumentParser, groups: dict[str, dict[str, dict[str, Any]]], **same: Any) -> None:
    for title, options in groups.items():
        group = parser.add_argument_group(title)
        for key, how in options.items():
            group.add_argument("--" + key.replace("_", "-"), **{**how, "default": argparse.SUPPRESS, **same})


class _HelpAll(argparse.Action):
    """Print every option, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        whole = Parser(prog=parser.prog, description=parser.description)
        _add(whole, {**OPTIONS, **MORE_OPTIONS})
        whole.print_help()
        parser.exit()


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    given = vars(arguments)
    if "config" in given and "resume" not in given:
        from chainfpn.cli.training_config import read_config

        declare = functools.partial(_add, groups={**OPTIONS, **MORE_OPTIONS}, required=False)
        given = {**read_config(given["config"], declare), **given}
    if "resume" in given and "force" in given:
        raise UsageError("--resume and --force must not be given together")
    if "resume" in given:
        from chainfpn.cli.training_resume import resumed_settings

        settings = resumed_settings(given, DEFAULTS)
    elif (arguments.out / "train.json").exists() and not {"force", "dry_run"} & given.keys():
        raise CommandError(
            f"{arguments.out}: has a training already; --resume goes on with it, --force removes it, or choose another"
            " --out"
        )
    else:
        settings = argparse.Namespace(**{**DEFAULTS, **given}, resume_state=None)
    if not settings.data:
        raise UsageError("--data is needed, except with --resume")
    if settings.held_out is not None and settings.validation is not None:
        raise UsageError("--held-out and --validation must not be given together")
    if settings.overfit is not None and (settings.held_out is not None or settings.validation is not None):
        raise UsageError("--overfit validates with what it trains with, not with --held-out or --validation")
    if settings.patience is not None and (settings.held_out, settings.validation, settings.overfit) == (None,) * 3:
        raise UsageError("--patience needs --validation, --held-out or --overfit")
    if given.get("milestones") is not None and settings.schedule != "step":
        raise UsageError(f"--milestones needs --schedule step, got {settings.schedule}")
    for name in ("annotations", "split"):
        if settings.validation is None and getattr(settings, f"validation_{name}") is not None:
            raise UsageError(f"--validation-{name} needs --validation")

    from chainfpn.cli.training_run import train

    return train(settings)
