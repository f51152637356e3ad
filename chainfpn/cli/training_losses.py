"""The losses that a training makes small, with the options of the command line."""

import inspect
import math

from chainfpn.cli.errors import CommandError
from chainfpn.training import train_chain
from weights_convert import parse_key_values

#: How the names of options end, what their values must be, and the test of a number for that.
_RULES = {
    "_thresh": ("in 0 to 1", lambda value: 0 <= value <= 1),
    "_fraction": ("> 0 and <= 1", lambda value: 0 < value <= 1),
    "_radius": ("> 0", lambda value: 0 < value < math.inf),
    "_per_image": ("a whole number >= 1", lambda value: isinstance(value, int) and value >= 1),
    "_top_n_train": ("a whole number >= 1", lambda value: isinstance(value, int) and value >= 1),
}


def build_chain(model, pairs):
    """Wrap a detector into its losses.

    Args:
        model (chainfpn.links.Detector): The detector.
        pairs (sequence of str): Options of the losses, each KEY=VALUE.

    Returns:
        chainfpn.training.TrainChain: Its ``model`` is the detector.

    Raises:
        CommandError: if there is no such option, or it is out of its range.
    """
    parameters = inspect.signature(type(train_chain(model)).__init__).parameters
    defaults = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in ("self", "model") and not callable(parameter.default)
    }
    options = parse_key_values(pairs)
    for name, value in options.items():
        if name not in defaults:
            raise CommandError(f"--loss: there is no {name} for this model, but {', '.join(defaults)}")
        _check_range(name, value)
    values = {**defaults, **options}
    for name, high in values.items():
        low_name = name.replace("fg_iou_thresh", "bg_iou_thresh")
        if low_name != name and values[low_name] > high:
            raise CommandError(f"--loss: {name} must be at least {low_name}, {values[low_name]}, got {high}")
    try:
        return train_chain(model, **options)
    except (TypeError, ValueError) as error:
        raise CommandError(f"--loss: {error}") from error


def _check_range(name, value):
    """Check the value of an option by what its name says it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    for end, (rule, obeys) in _RULES.items():
        if name.endswith(end) and not (is_number and obeys(value)):
            raise CommandError(f"--loss: {name} must be {rule}, got {value}")
