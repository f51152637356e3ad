"""A training loop of one's own, as in Chainer's examples/mnist/train_mnist_custom_loop.py."""

import chainer
import chainer.links as L
import numpy as np
from chainer import serializers
from chainer.dataset import concat_examples


def main():
    """Train for an epoch, test, and keep the model."""
    x = np.random.RandomState(0).rand(40, 16).astype(np.float32)
    train = chainer.datasets.TupleDataset(x, (x[:, 0] > 0.5).astype(np.int32))
    model = L.Classifier(chainer.Sequential(L.Linear(None, 8), chainer.functions.relu, L.Linear(None, 2)))
    optimizer = chainer.optimizers.MomentumSGD().setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(1e-4))
    train_iter = chainer.iterators.SerialIterator(train, 10)
    while train_iter.epoch < 1:
        x, t = concat_examples(train_iter.next(), -1)
        optimizer.update(model, x, t)
    with chainer.using_config("train", False), chainer.using_config("enable_backprop", False):
        loss = model(x, t)
    assert np.isfinite(float(loss.array))
    serializers.save_npz("mlp.model", model)
    serializers.load_npz("mlp.model", model)


if __name__ == "__main__":
    main()
