"""Let all programs here import Chainer and ChainerCV, unchanged.

enable puts a small file, chainfpn_compat.pth, into the environment's
site-packages; disable takes it out; status tells whether it is there. It
imports nothing until Chainer or ChainerCV is imported.

Example:
  chainfpn compat enable
"""

import argparse
import pathlib
import shutil
import sysconfig

from chainfpn import compat
from chainfpn.cli.errors import CommandError

_HOOK = pathlib.Path(compat.__file__).parent / "children" / "chainfpn_compat.pth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["enable", "disable", "status"])


def run(arguments: argparse.Namespace) -> int:
    """Place or remove the hook; print whether it is there."""
    installed = pathlib.Path(sysconfig.get_paths()["purelib"]) / _HOOK.name
    try:
        if arguments.action == "enable":
            shutil.copyfile(_HOOK, installed)
        elif arguments.action == "disable":
            installed.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"{installed}: {error.strerror}; python -m chainfpn.compat SCRIPT needs no file") from error
    print(f"enabled by {installed}" if installed.exists() else f"not enabled: there is no {installed}")
    return 0
