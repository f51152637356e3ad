"""The one rule of conversion: what a parameter of torch is called in Chainer, and back. Values never change.

| torch | Chainer, in convolution, linear, deconvolution | Chainer, in batch and group normalisation |
|---|---|---|
| weight, bias | W, b | gamma, beta |
| running_mean, running_var | | avg_mean, avg_var |
| num_batches_tracked | | N |
"""

_FORWARD = {"running_mean": "avg_mean", "running_var": "avg_var", "num_batches_tracked": "N"}
_BACKWARD = {value: key for key, value in _FORWARD.items()}
_BACKWARD |= {"W": "weight", "gamma": "weight", "b": "bias", "beta": "bias"}


def to_chainer(ndims):
    """Return ``{torch name: Chainer name}``.

    Args:
        ndims (dict): ``{torch name: number of axes}``; a weight of one axis is a normalisation's.
    """
    return {name: _to_chainer(name, ndims) for name in ndims}


def _to_chainer(name, ndims):
    path, _, leaf = name.rpartition(".")
    prefix = path.replace(".", "/") + "/" if path else ""
    normalises = ndims.get(f"{path}.weight" if path else "weight") == 1
    if leaf == "weight":
        leaf = "gamma" if normalises else "W"
    elif leaf == "bias":
        leaf = "beta" if normalises else "b"
    else:
        leaf = _FORWARD.get(leaf, leaf)
    return prefix + leaf


def to_torch(name):
    """Return torch's name for a Chainer name."""
    path, _, leaf = name.rpartition("/")
    leaf = _BACKWARD.get(leaf, leaf)
    return f"{path.replace('/', '.')}.{leaf}" if path else leaf
