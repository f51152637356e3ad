"""Averages of weights, computed by hand."""

import argparse

import chainer
import numpy as np
import pytest

from chainfpn.training import AveragedWeights
from reference.arrays import saved


class Network(chainer.Chain):
    """A weight, and a running statistic."""

    def __init__(self, dtype):
        super().__init__()
        with self.init_scope():
            self.w = chainer.Parameter(np.array([1.0], dtype))
        self.add_persistent("avg_mean", np.array([5.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_average_follows_the_weights(dtype):
    network = Network(dtype)
    average = AveragedWeights(network, 0.4)
    expected = 1.0
    for t, value in enumerate((2.0, 4.0, 8.0), start=1):
        network.w.array[...] = value
        network.avg_mean = np.array([value])
        average(argparse.Namespace(updater=argparse.Namespace(iteration=t)))
        keep = min(0.4, (1 + t) / (10 + t))
        expected = keep * expected + (1 - keep) * value
        np.testing.assert_allclose(average.averaged.w.array, [expected], rtol=1e-3 if dtype == np.float16 else 1e-6)
        assert average.averaged.w.array.dtype == dtype
        assert average.averaged.avg_mean == value
    assert network.w.array == 8

    other = AveragedWeights(Network(dtype), 0.4)
    chainer.serializers.NpzDeserializer(saved(average)).load(other)
    np.testing.assert_array_equal(other.averaged.w.array, average.averaged.w.array)
    np.testing.assert_array_equal(other._means["/w"], average._means["/w"])


@pytest.mark.parametrize("decay", [-0.1, 1])
def test_a_share_that_is_none(decay):
    with pytest.raises(ValueError, match=r"AveragedWeights: decay must be in \[0, 1\), got"):
        AveragedWeights(Network(np.float32), decay)
