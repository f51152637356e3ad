"""Statistics of batch normalization, recomputed."""

from collections.abc import Iterable

import chainer
import numpy as np

from chainfpn._typing import Array
from chainfpn.errors import InvalidArgument
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization


def recompute_statistics(link: chainer.Link, batches: Iterable[Array]) -> int:
    """Replace the running statistics of every batch normalization by those of given batches.

    Each batch is normalized by its own statistics, as in training; a layer keeps mean and variance over all batches
    together. For a trunk whose statistics have drifted away from its weights, or one for another kind of image.

    Args:
        link (chainer.Link): A network that is called with a batch.
        batches (iterable of array): (B, 3, H, W), as the network is trained with.

    Returns:
        int: Number of normalization layers that were measured.

    Raises:
        ValueError: if there is no batch.

    Source:
        Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 ("precise" statistics).
    """
    hook = _Measure()
    with chainer.using_config("train", False), chainer.no_backprop_mode(), hook:
        n_batches = 0
        for batch in batches:
            link(batch)
            n_batches += 1
    if not n_batches:
        raise InvalidArgument("recompute_statistics", "batches", "have at least one batch", batches, got="none")
    for layer, mean, square, n in hook.sums.values():
        layer.avg_mean[...] = mean / n
        layer.avg_var[...] = (square / n - (mean / n) ** 2).clip(min=0)  # rounding alone could make it negative
    return len(hook.sums)


class _Measure(chainer.LinkHook):
    """Before a layer runs, give it the statistics of its input."""

    name = "recompute_statistics"

    def __init__(self) -> None:
        self.sums: dict[int, list] = {}

    def forward_preprocess(self, args):
        layer = args.link
        if not isinstance(layer, (BatchNormalization, FrozenBatchNormalization)):
            return
        x = getattr(args.args[0], "array", args.args[0])  # (B, C, H, W)
        dtype = np.float64  # for the variance is a difference of sums
        mean, var = x.mean(axis=(0, 2, 3), dtype=dtype), x.var(axis=(0, 2, 3), dtype=dtype)  # (C,), (C,)
        layer.avg_mean[...], layer.avg_var[...] = mean, var
        entry = self.sums.setdefault(id(layer), [layer, 0, 0, 0])
        n = x.size // x.shape[1]
        entry[1] += n * mean
        entry[2] += n * (var + mean**2)
        entry[3] += n
