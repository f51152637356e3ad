"""Weights that both sides make for themselves: every array follows from its name, so none is stored or sent.

Only NumPy's stable part is used (the bits of PCG64), and nothing of chainfpn or torch is imported, so that this file
runs in any interpreter; inside a snippet of ``torchvision_live``, with this folder as ``folder``::

    sys.path.insert(0, str(folder))
    from seeded_weights import fill_module
"""

import functools
import zlib

import numpy as np

#: Uniform ranges of what is no kernel; kernels keep the variance of what passes through them and a ReLU.
RANGES = {"gamma": (0.6, 1.0), "beta": (-0.2, 0.2), "avg_mean": (-0.2, 0.2), "avg_var": (0.6, 1.4), "b": (-0.2, 0.2)}

#: torch's names of the leaves of a normalization, and of any other layer, to Chainer's.
NORMALIZATION = {"weight": "gamma", "bias": "beta", "running_mean": "avg_mean", "running_var": "avg_var"}
OTHERS = {"weight": "W", "bias": "b"}


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


def fill_link(link):
    """Give a Chainer link the arrays of its names, in its own dtypes.

    Args:
        link (chainer.Link): The link.
    """
    for path, child in link.namedlinks():
        prefix = path.strip("/") + "/" if path != "/" else ""
        for leaf in sorted(child._params | child._persistent):
            holder = getattr(child, leaf)
            array = getattr(holder, "array", holder)
            if leaf in RANGES or leaf == "W":
                array[...] = seeded_array(prefix + leaf, array.shape)


def fill_module(module):
    """Give a torch module the arrays of its names.

    Args:
        module (torch.nn.Module): The module, in float32.
    """
    import torch

    state = module.state_dict()
    for key, tensor in state.items():
        stem, _, leaf = key.rpartition(".")
        table = NORMALIZATION if f"{stem}.running_mean" in state else OTHERS
        if leaf in table:
            array = seeded_array(f"{stem.replace('.', '/')}/{table[leaf]}", tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(array))


def skip_initial_values():
    """Keep torch from computing initial values, which take longer than all the rest, in this interpreter."""
    import torch

    for initial in ("kaiming_uniform_", "kaiming_normal_", "normal_", "uniform_", "trunc_normal_"):
        setattr(torch.nn.init, initial, lambda tensor, *args, **options: tensor)


def seeded_input(*shape):
    """Make a batch as a preparation might give it.

    Args:
        *shape (int): Its shape.

    Returns:
        array: float32, in -2..2.
    """
    return np.random.Generator(np.random.PCG64(0)).random(shape, dtype=np.float32) * np.float32(4) - np.float32(2)
