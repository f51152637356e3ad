"""The one rule of conversion: what a parameter of torch is called in Chainer, and back. Values never change.

| torch | Chainer, in convolution, linear, deconvolution | Chainer, in batch and group normalization |
|---|---|---|
| weight, bias | W, b | gamma, beta |
| running_mean, running_var | | avg_mean, avg_var |
| num_batches_tracked | | N |
"""

from collections.abc import Mapping

_FORWARD = {"running_mean": "avg_mean", "running_var": "avg_var", "num_batches_tracked": "N"}
_BACKWARD = {value: key for key, value in _FORWARD.items()}
_BACKWARD |= {"W": "weight", "gamma": "weight", "b": "bias", "beta": "bias"}


def to_chainer(ndims: Mapping[str, int]) -> dict[str, str]:
    """Return ``{torch name: Chainer name}``.

    Args:
        ndims (dict): ``{torch name: number of axes}``; a weight of one axis is a normalization's.
    """
    return {name: _to_chainer(name, ndims) for name in ndims}


def _to_chainer(name: str, ndims: Mapping[str, int]) -> str:
    *path, param = name.split(".")
    normalizes = ndims.get(".".join([*path, "weight"])) == 1
    own = {"weight": "gamma" if normalizes else "W", "bias": "beta" if normalizes else "b"} | _FORWARD
    return "/".join([*path, own.get(param, param)])


def to_torch(name: str) -> str:
    """Return torch's name for a Chainer name."""
    *path, param = name.split("/")
    return ".".join([*path, _BACKWARD.get(param, param)])
