"""Chains of Chainer's and ChainerCV's links, on the convolutions of this package."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainercv.links import Conv2DActiv, Conv2DBNActiv

from chainfpn import links
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.links import fuse_for_inference
from reference.normalizations import fill


class Chain(chainer.Chain):
    """A user's own chain of everything that has a twin."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.first = Conv2DBNActiv(3, 8, 3, 1, 1, bn_kwargs={"eps": 1e-3})
            self.second = Conv2DActiv(8, 8, 3, 2, 1, activ=F.elu)
            self.third = L.Convolution2D(8, 16, 1)
            self.norm = fill(L.BatchNormalization(16))
            self.shift = L.BatchNormalization(16, use_gamma=False)
            self.last = Conv2DBNActiv(16, 4, 1, activ=None)
        fill(self.first.bn)

    def forward(self, x):
        return self.last(self.shift(F.relu(self.norm(self.third(self.second(self.first(x)))))))


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-1, 1, (2, 3, 24, 20)).astype(np.float32)


def test_it_computes_the_same(x):
    model = Chain()
    fused = fuse_for_inference(model)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        np.testing.assert_allclose(fused(x).array, model(x).array, rtol=0, atol=1e-5)
        model.first.conv.W.array[...] *= -1
        model.first.bn.avg_mean[...] += 1
        np.testing.assert_allclose(fused(x).array, model(x).array, rtol=0, atol=1e-5)
    assert type(fused) is Chain
    assert type(model.third) is L.Convolution2D
    assert type(fused.third) is links.Convolution2D
    assert type(fused.shift) is L.BatchNormalization
    assert [name for name, _ in fused.namedparams()] == [name for name, _ in model.namedparams()]


def test_activations_that_one_link_holds_are_no_functions_of_their_own(x, monkeypatch):
    def fail(*args):
        raise AssertionError("one after the other")

    fused = fuse_for_inference(chainer.Sequential(Conv2DBNActiv(3, 8, 3), Conv2DActiv(8, 8, 3)))
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        expected = fused(x).array
        for function in ("activation.relu.ReLU", "normalization.batch_normalization.FixedBatchNormalization"):
            monkeypatch.setattr(f"chainer.functions.{function}.forward", fail)
        np.testing.assert_array_equal(fused(x).array, expected)


def test_it_trains_step_by_step(x):
    with chainer.using_config("dtype", np.float64):
        model = Chain()
        model(x.astype(np.float64))
    fused = fuse_for_inference(model)
    for chain in (model, fused):
        chain.cleargrads()
        F.sum(chain(x.astype(np.float64)) ** 3).backward()
    for (name, mine), theirs in zip(fused.namedparams(), model.params(), strict=True):
        np.testing.assert_allclose(mine.grad, theirs.grad, rtol=0, atol=1e-9, err_msg=name)


def test_what_cannot_be_fused_is_named():
    with pytest.raises(InvalidArgument, match=r"model must be a chain with a Convolution2D, got links of Linear"):
        fuse_for_inference(L.Linear(2, 3))
    with pytest.raises(InvalidType, match=r"fuse_for_inference: model must be a chainer\.Link"):
        fuse_for_inference(F.relu)
