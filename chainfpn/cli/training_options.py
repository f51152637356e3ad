"""Options of ``chainfpn train``: what their values may be, and which of them a resumed training takes."""

import argparse
import json
import math

from chainfpn.cli.errors import CommandError

#: What every run is told anew, and is not kept in ``train.json``.
OF_EACH_RUN = ("command", "run", "out", "resume", "before", "device", "mpi")
#: What a resumed training may be told otherwise.
_CHANGEABLE = ("epochs", "evaluate_every", "samples")


def to_json(settings):
    """Keep what a training was told.

    Args:
        settings (argparse.Namespace): The options.

    Returns:
        dict: JSON values.
    """
    return {key: value for key, value in vars(settings).items() if key not in OF_EACH_RUN}


def resumed(given, defaults):
    """Return the options of the training in ``--out``, with those of this run.

    Args:
        given (dict): What the command line says, without what it leaves out.
        defaults (dict): Every option and its default.

    Returns:
        argparse.Namespace: Every option, and ``before``, what ``train.json`` says.

    Raises:
        CommandError: if there is no training, or it was told something else.
    """
    path = given["out"] / "train.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        told = {**defaults, **before["settings"]}
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror}); --resume needs a training in --out") from None
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{path}: is not what a training wrote") from None
    kept = [key for key in given if key not in (*OF_EACH_RUN, *_CHANGEABLE)]
    others = ["--" + key.replace("_", "-") for key in kept if given[key] != told[key]]
    if others:
        raise CommandError(f"--resume goes on with the options in {path}, but {', '.join(others)} would change them")
    return argparse.Namespace(**{**told, **given, "before": before})


def whole(least, most=2**31):
    """Make the type of whole numbers.

    Args:
        least (int): The smallest.
        most (int): The largest.

    Returns:
        callable: From text to int.
    """

    def number(text):
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {f'>= {least}' if value < least else f'<= {most}'}, got {text}")
        return value

    return number


def real(rule):
    """Make the type of numbers that obey a rule.

    Args:
        rule (str): ``'>= 0'``, or ``'> 0'``, which takes ``inf``, too.

    Returns:
        callable: From text to float.
    """

    def number(text):
        value = float(text)
        if not (value > 0 if rule == "> 0" else 0 <= value < math.inf):
            raise argparse.ArgumentTypeError(f"must be {rule}, got {text}")
        return value

    return number


def numbers(text):
    """Parse whole numbers >= 1 with commas: list of int."""
    return [whole(1)(number) for number in text.split(",")]


def amounts(text):
    """Parse four numbers from 0 to 1 with commas: list of float."""
    values = [float(number) for number in text.split(",")]
    if len(values) != 4 or not all(0 <= value <= 1 for value in values):
        raise argparse.ArgumentTypeError(f"must be four numbers in 0 to 1, got {text}")
    return values


def words(text):
    """Parse words with commas: list of str."""
    return [word.strip() for word in text.split(",")]


def pair(text):
    """Check that a text is KEY=VALUE: str."""
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text}")
    return text
