"""Normalization links whose statistics are far from their initial values, and maps for them."""

import numpy as np


def fill(norm):
    """Give a normalization random statistics and affine terms, negative ones among them, and return it."""
    random = np.random.default_rng(1)
    for name, low in (("gamma", -1), ("beta", -1), ("avg_mean", -1), ("avg_var", 0.1)):
        value = getattr(norm, name)
        array = getattr(value, "array", value)
        array[...] = random.uniform(low, 1, array.shape)
    return norm


def maps(shape, dtype, n=2):
    """Make n maps in one array."""
    return np.random.default_rng(0).uniform(-1, 1, (n, *shape)).astype(dtype)
