"""The detector that a training starts from."""

import re

import numpy as np
from chainer import serializers

from chainfpn import WeightsError, set_weights
from chainfpn.cli.errors import CommandError
from chainfpn.models import BUILDERS
from chainfpn.models.weights import find_weights
from weights_convert.meta import parse_pairs

#: The builders that there are losses for.
DETECTORS = [
    name for name in BUILDERS if name.startswith(("fasterrcnn", "maskrcnn", "retinanet_resnet", "fcos", "ssd"))
]
DEFAULT_MODEL = "fasterrcnn_resnet_fpn"
#: How names in a detector begin, and in no trunk.
_DETECTOR = ("backbone/", "rpn/", "roi_heads/", "head/")
#: The layers whose size is a matter of the labels.
_PREDICTORS = re.compile(r"/(box_predictor|mask_fcn_logits|kps_score_lowres|classification_head/.*)/")


def build_model(settings, label_names, say):
    """Build a detector for the labels of a data set.

    The weights may be those of a trunk, or of a detector of the same kind with other labels: its predictors then start
    anew.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.
        label_names (sequence of str): Names of the labels.
        say (callable): Takes a sentence for the user.

    Returns:
        chainfpn.links.Detector: The detector, on the CPU.

    Raises:
        CommandError: if an option does not fit.
        WeightsError: if the weights do not.
        OSError: if they cannot be read.
    """
    weights = None if settings.weights is None else find_weights(settings.weights, name=None, zoo=())
    is_detector = weights is not None and any(name.startswith(_DETECTOR) for name in weights.arrays)
    said = weights.meta.get("arguments", {}) if is_detector else {}
    name = settings.model or (weights.meta.get("model") if is_detector else None) or DEFAULT_MODEL
    if name not in DETECTORS:
        raise CommandError(f"--model must be one of {', '.join(DETECTORS)}, got {name}")
    of_labels = {"n_fg_class": len(label_names), "label_names": tuple(label_names)}
    options = {key: value for key, value in said.items() if key not in (*of_labels, "raw_labels")}
    try:
        options |= parse_pairs(settings.set)
        trunk = {} if weights is None or is_detector else {"pretrained_backbone": weights}
        model = BUILDERS[name](**{**options, **of_labels, **trunk})
    except WeightsError:
        raise
    except (TypeError, ValueError) as error:
        raise CommandError(f"{name}: {error}") from error
    if is_detector:
        fresh = _load(weights, model)
        if fresh:
            say(f"{weights.file}: has other labels; {', '.join(fresh)} start anew")
    if settings.train_sizes is not None:
        model.preparation.min_sizes = (*settings.train_sizes, model.preparation.min_sizes[-1])
    return model


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
