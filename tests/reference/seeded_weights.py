"""Weights that both sides make for themselves: every array follows from its name, so none is stored or sent.

Only NumPy's stable part is used (the bits of PCG64), and nothing of chainfpn or torch is imported, so that this file
runs in any interpreter; inside a snippet of ``torchvision_live``, with this folder as ``folder``::

    sys.path.insert(0, str(folder))
    from seeded_weights import fill_module
"""

import functools
import re
import zlib

import numpy as np

#: Uniform ranges of what is no kernel; kernels keep the variance of what passes through them and a ReLU.
RANGES = {
    "gamma": (0.6, 1.0),
    "beta": (-0.2, 0.2),
    "avg_mean": (-0.2, 0.2),
    "avg_var": (0.6, 1.4),
    "b": (-0.2, 0.2),
    "scale_weight": (15.0, 25.0),
    "layer_scale": (0.2, 0.4),
    "relative_position_bias_table": (-1.0, 1.0),
    "logit_scale": (1.0, 5.0),
}

#: torch's names of the leaves of a normalization, and of any other layer, to Chainer's.
NORMALIZATION = {"weight": "gamma", "bias": "beta", "running_mean": "avg_mean", "running_var": "avg_var"}
OTHERS = {
    "weight": "W",
    "bias": "b",
    "scale_weight": "scale_weight",
    **{name: name for name in ("layer_scale", "relative_position_bias_table", "logit_scale")},
}


def seeded_array(name, shape):
    """Make the array of a name.

    Args:
        name (str): Chainer's name, such as ``layer1/0/conv1/W``.
        shape (tuple of int): Its shape.

    Returns:
        array: float32.
    """
    return _large_array(name, shape) if np.prod(shape) > 1e8 else _array(name, shape)


def _array(name, shape):
    leaf = name.rpartition("/")[2]
    reach = np.sqrt(6 / np.prod(shape[1:])) if leaf == "W" else 0
    low, high = RANGES.get(leaf, (-reach, reach))
    array = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(shape, dtype=np.float32)
    array *= np.float32(high - low)
    array += np.float32(low)
    return array


#: The one array that is worth keeping: the first fully connected layer of all the VGGs.
_large_array = functools.lru_cache(maxsize=1)(_array)


def _gain(name, gains):
    return np.float32(next((gain for pattern, gain in gains if re.search(pattern, name)), 1))


def fill_link(link, gains=()):
    """Give a Chainer link the arrays of its names, in its own dtypes.

    Args:
        link (chainer.Link): The link.
        gains (sequence of (str, float)): Regular expressions and by what an array is multiplied whose name the first of
            them is found in.
    """
    for path, child in link.namedlinks():
        prefix = path.strip("/") + "/" if path != "/" else ""
        for leaf in sorted(child._params | child._persistent):
            holder = getattr(child, leaf)
            array = getattr(holder, "array", holder)
            if leaf in RANGES or leaf == "W":
                name = prefix + leaf
                array[...] = seeded_array(name, array.shape) * _gain(name, gains)


def fill_module(module, names=None, gains=()):
    """Give a torch module the arrays of its names.

    Args:
        module (torch.nn.Module): The module, in float32.
        names (dict or None): torch's names to those that decide; torch's own by default.
        gains (sequence of (str, float)): See :func:`fill_link`.
    """
    import torch

    state = module.state_dict()
    for key, tensor in state.items():
        stem, _, leaf = key.rpartition(".")
        weight = state.get(f"{stem}.weight")
        table = NORMALIZATION if weight is not None and weight.ndim == 1 else OTHERS
        if leaf in table:
            stem = (key if names is None else names[key]).rpartition(".")[0]
            name = f"{stem.replace('.', '/')}/{table[leaf]}"
            tensor.copy_(torch.from_numpy(seeded_array(name, tuple(tensor.shape)) * _gain(name, gains)))


def skip_initial_values():
    """Keep torch from computing initial values, which take longer than all the rest, in this interpreter."""
    import torch

    for initial in ("kaiming_uniform_", "kaiming_normal_", "normal_", "uniform_", "trunc_normal_"):
        setattr(torch.nn.init, initial, lambda tensor, *args, **options: tensor)


def seeded_input(*shape):
    """Make a batch as a preprocess might give it.

    Args:
        *shape (int): Its shape.

    Returns:
        array: float32, in -2..2.
    """
    return np.random.Generator(np.random.PCG64(0)).random(shape, dtype=np.float32) * np.float32(4) - np.float32(2)
