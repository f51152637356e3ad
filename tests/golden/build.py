"""Our detector of another framework's model: its checkpoint converted, its stages in the framework's shapes."""

import contextlib

import chainer
import numpy as np

from chainfpn import models
from chainfpn.models._weights import Weights
from reference.classifier_answers import without_initial_values
from weights_convert import convert_arrays


def convert(model, folder):
    """Convert the checkpoint of a model.

    Args:
        model (GoldenModel): The model.
        folder (pathlib.Path): Where its checkpoint is for a while.

    Returns:
        chainfpn.models._weights.Weights: Its weights here, and what the converter says of them.
    """
    path = model.write(folder)
    arrays, meta, _ = convert_arrays(path)
    path.unlink()
    return Weights(arrays, meta, path.name)


def build(model, weights, dtype="float64", **options):
    """Build the detector that the converter takes a model for.

    Args:
        model (GoldenModel): The model.
        weights (chainfpn.models._weights.Weights): See :func:`convert`.
        dtype (str): Precision of the detector.
        **options: Of the builder, before those that the configuration says.

    Returns:
        chainfpn.links.Detector: The detector.
    """
    builder = models.MODELS[weights.meta["model"]].builder
    with chainer.using_config("dtype", np.dtype(dtype)), without_initial_values():
        return builder(pretrained_model=weights, rules=model.rules, **{**model.options, **options})


@contextlib.contextmanager
def inference(dtype="float64"):
    """Run a block in test mode, in a precision and without a graph."""
    precision, mode = chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", False)
    with precision, mode, chainer.no_backprop_mode():
        yield


def as_maps(levels, hs):
    """Bring what a head predicts for each anchor into maps.

    Args:
        levels (sequence of Variable): Per level, (1, N_l, n).
        hs (sequence of Variable): The maps it was predicted from, (1, C, H_l, W_l).

    Returns:
        list of array: Per level, (1, A * n, H_l, W_l).
    """
    return [level.array.reshape(1, *h.shape[2:], -1).transpose(0, 3, 1, 2) for level, h in zip(levels, hs, strict=True)]
