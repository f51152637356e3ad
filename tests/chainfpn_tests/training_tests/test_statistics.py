"""Statistics of batch normalization are those of the batches."""

import chainer
import chainer.links as L
import numpy as np
import pytest

from chainfpn.links import BatchNormalization, FrozenBatchNormalization
from chainfpn.training import recompute_statistics


class Small(chainer.Chain):
    """Normalization, convolution, normalization."""

    def __init__(self, norm):
        super().__init__()
        with self.init_scope():
            self.first = norm(2)
            self.conv = L.Convolution2D(2, 3, 1)
            self.second = norm(3)

    def forward(self, x):
        return self.second(self.conv(self.first(x)))


@pytest.mark.parametrize("norm", [BatchNormalization, FrozenBatchNormalization])
def test_they_are_those_of_all_batches_together(norm):
    random = np.random.RandomState(0)
    batches = [random.normal(loc, 2, size=(2, 2, 5, 7)).astype("f") for loc in (1, 4, 9)]
    link = Small(norm)
    assert recompute_statistics(link, iter(batches)) == 2
    together = np.concatenate(batches).transpose(1, 0, 2, 3).reshape(2, -1)
    np.testing.assert_allclose(link.first.avg_mean, together.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(link.first.avg_var, together.var(axis=1), rtol=1e-5)
    # the second layer saw batches that the first had normalized by their own statistics
    seen = []
    for batch in batches:
        mean, var = batch.mean(axis=(0, 2, 3), keepdims=True), batch.var(axis=(0, 2, 3), keepdims=True)
        seen.append(link.conv((batch - mean) / np.sqrt(var + np.float32(1e-5))).array.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(link.second.avg_mean, np.mean(seen, axis=0), atol=1e-5)


def test_no_variance_is_negative():
    """That of an almost even channel is the difference of numbers that differ by less than they are rounded."""
    link = BatchNormalization(200)
    even = np.linspace(0.1, 30, 200, dtype="f")
    batches = [np.tile(even[:, None, None], (n, 1, 9, 9)) for n in (1, 2, 4)]
    for batch in batches:
        batch[0, :, 0, 0] = np.nextafter(even, np.float32(np.inf))
    recompute_statistics(link, batches)
    assert link.avg_var.min() >= 0
    np.testing.assert_allclose(link.avg_var, 0, atol=1e-10)


def test_no_batch_is_said():
    with pytest.raises(ValueError, match="recompute_statistics: batches must have at least one batch, got none"):
        recompute_statistics(Small(BatchNormalization), [])
