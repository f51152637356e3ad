"""The detector that a training starts from."""

import re

import numpy as np
from chainer import serializers

from chainfpn import WeightsError, set_weights
from chainfpn.cli.errors import CommandError
from chainfpn.models import BUILDERS
from chainfpn.models.weights import find_weights
from chainfpn.training import sync_norm
from weights_convert import parse_key_values

#: The builders that there are losses for.
DETECTORS = [
    name for name in BUILDERS if name.startswith(("fasterrcnn", "maskrcnn", "retinanet_resnet", "fcos", "ssd"))
]
DEFAULT_MODEL = "fasterrcnn_resnet_fpn"
#: How names in a detector begin, and in no trunk.
_DETECTOR = ("backbone/", "rpn/", "roi_heads/", "head/")
#: The layers whose size is a matter of the labels.
_PREDICTORS = re.compile(r"/(box_predictor|mask_fcn_logits|kps_score_lowres|classification_head/.*)/")

#: Options of the builders that other options of the command line decide; and those that are counts.
_DECIDED = ("n_fg_class", "label_names", "pretrained_model", "pretrained_backbone")
_COUNTS = ("fpn_channels", "head_channels", "max_size")


def build_model(settings, label_names, say, comm=None):
    """Build a detector for the labels of a data set.

    The weights may be those of a trunk, or of a detector of the same kind with other labels: its predictors then start
    anew. A training that is resumed builds the detector of its ``train.json``, and needs no weights but its snapshot.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.
        label_names (sequence of str): Names of the labels.
        say (callable): Takes a sentence for the user.
        comm (chainermn.CommunicatorBase or None): The processes, over which ``--set norm=sync`` normalizes.

    Returns:
        chainfpn.links.Detector: The detector, on the CPU.

    Raises:
        CommandError: if an option does not fit.
        WeightsError: if the weights do not.
        OSError: if they cannot be read.
    """
    of_labels = {"n_fg_class": len(label_names), "label_names": tuple(label_names)}
    options = parse_key_values(settings.set)
    _check(options)
    is_sync = options.get("norm") == "sync"
    if is_sync and comm is None:
        raise CommandError("--set norm=sync normalizes over the processes of --mpi")
    if settings.before is not None and "model" in settings.before:
        model = _build_again(settings.before["model"], of_labels, comm if is_sync else None)
    else:
        model = _build(settings, options, of_labels, say, comm if is_sync else None)
    if is_sync:
        model.meta["arguments"]["norm"] = "batch"  # which it is, for whoever loads the weights
    if settings.train_sizes is not None:
        _set_train_sizes(model, settings.train_sizes)
    return model


def _check(options):
    """Check what ``--set`` says as far as the builders do not."""
    for name, value in options.items():
        if name in _DECIDED:
            raise CommandError(f"--set {name}: --data and --weights decide that")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in _COUNTS and not (is_number and isinstance(value, int) and value >= 1):
            raise CommandError(f"--set {name}: must be a whole number >= 1, got {value}")
        if name == "norm_eps" and not (is_number and value >= 0):
            raise CommandError(f"--set {name}: must be >= 0, got {value}")


def _build(settings, asked, of_labels, say, comm):
    """Build the detector that a training starts from."""
    weights = None if settings.weights is None else find_weights(settings.weights, name=None, zoo=())
    is_detector = weights is not None and any(name.startswith(_DETECTOR) for name in weights.arrays)
    said = weights.arguments if is_detector else {}
    name = settings.model or (weights.meta.get("model") if is_detector else None) or DEFAULT_MODEL
    if name not in DETECTORS:
        raise CommandError(f"--model must be one of {', '.join(DETECTORS)}, got {name}")
    options = {key: value for key, value in said.items() if key not in (*of_labels, "class_ids")}
    options |= asked
    try:
        trunk = {} if weights is None or is_detector else {"pretrained_backbone": weights}
        model = BUILDERS[name](**{**_over_processes(options, comm), **of_labels, **trunk})
    except WeightsError:
        raise
    except (TypeError, ValueError) as error:
        raise CommandError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error
    if is_detector:
        fresh = _load(weights, model)
        if fresh:
            say(f"{weights.file}: has other labels; {', '.join(fresh)} start anew")
    return model


def _build_again(meta, of_labels, comm):
    """Build the detector that ``train.json`` tells of."""
    try:
        return BUILDERS[meta["model"]](**{**_over_processes(meta["arguments"], comm), **of_labels})
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"--resume: the model in train.json cannot be built ({error})") from error


def _over_processes(options, comm):
    """Let a builder normalize over processes, if there are any to normalize over."""
    return options if comm is None else {**options, "norm": sync_norm(comm, eps=options.get("norm_eps", 1e-5))}


def _set_train_sizes(model, sizes):
    """Let training draw from sizes of its own; ``predict`` keeps the one of the model."""
    fixed = model.preprocess.fixed_size
    if fixed is not None:
        size = " x ".join(map(str, fixed))
        raise CommandError(f"--train-sizes is not for {model.meta['model']}, which sees every image as {size} pixels")
    try:
        model.preprocess.train_sizes = sizes
    except ValueError:
        limit = model.preprocess.max_size
        raise CommandError(
            f"--train-sizes must be at most the limit of the longer side, {limit} (--set max_size=N), got {max(sizes)}"
        ) from None


def _load(weights, model):
    """Load the weights of a detector but for predictors of another size, whose names are returned."""
    serializer = serializers.DictionarySerializer()
    serializer.save(model)
    own, arrays, fresh = serializer.target, dict(weights.arrays), []
    for name, array in sorted(own.items()):
        if name in arrays and np.shape(array) != arrays[name].shape and _PREDICTORS.search(name):
            arrays[name] = array
            fresh.append(name)
    set_weights(arrays, model, file=weights.file)
    return fresh
