"""Our side of ``classifier_cases``: what each classifier makes of the same weights and images."""

import functools
from unittest import mock

import chainer
import numpy as np
import pytest
from chainer import initializers
from chainer.backends.cuda import to_cpu

from chainfpn import models
from reference.classifier_cases import FAMILIES, GAINS, LARGER, N_CLASS, N_IMAGE
from reference.seeded_weights import fill_link, seeded_input

#: Builder to its family.
BUILDERS = {builder: family for family, (_, _, builders) in FAMILIES.items() for builder in builders}


def marked(names, others=(), mark=None):
    """Mark those of some builders that run only if all are asked for: a smaller one stands for them.

    Args:
        names (iterable of str): Builders.
        others (collection of str): More of them to mark.
        mark (callable or None): Builder to the mark of one that is not among them, or None.

    Returns:
        list: Parameters of a test.
    """
    rarely = LARGER.union(others)
    marks = {name: pytest.mark.exhaustive if name in rarely else mark and mark(name) for name in names}
    return [pytest.param(name, marks=mark) if mark else name for name, mark in marks.items()]


@functools.cache
def ours(builder, dtype="float32", device="@numpy"):
    """Run a classifier.

    Args:
        builder (str): Its name.
        dtype (str): Its precision.
        device (str): Chainer's name of the device.

    Returns:
        tuple: The number of parameters, and the arrays of the inner layer and the logits.
    """
    size, layer, _ = FAMILIES[BUILDERS[builder]]
    with chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", False):
        link = build_seeded(builder)
        link.pick = (layer, link.layer_names[-1])
        link.to_device(device)
        with chainer.no_backprop_mode():
            inner, logits = link(link.xp.asarray(seeded_input(N_IMAGE, 3, *size).astype(dtype)))
    return sum(param.size for param in link.params()), to_cpu(inner.array), to_cpu(logits.array)


def build_seeded(builder):
    """Build a classifier with seeded weights, without the time that initial values take.

    Args:
        builder (str): Its name.

    Returns:
        chainfpn.links.Classifier: The model.
    """
    with without_initial_values():
        link = getattr(models, builder)(N_CLASS)
    fill_link(link, GAINS.get(BUILDERS[builder], ()))
    return link


def without_initial_values():
    """Keep Chainer from computing initial values, inside a with statement."""

    def zeros(initializer, shape, xp, dtype=None, device=None):
        return np.zeros(shape, chainer.get_dtype(dtype or getattr(initializer, "dtype", None)))

    return mock.patch.object(initializers, "generate_array", zeros)


def difference(array, reference):
    """Return the largest difference between two arrays as a share of the largest number.

    Args:
        array (array): One.
        reference (array): The other, of the same shape.

    Returns:
        float: The share.

    Raises:
        ValueError: if the shapes differ.
    """
    if array.shape != reference.shape:
        raise ValueError(f"difference: array must have the shape {reference.shape}, got {array.shape}")
    return float(np.abs(array - reference).max() / np.abs(reference).max())
