"""A classifier trained by a Trainer with the usual extensions, as in Chainer's examples/mnist/train_mnist.py."""

import chainer
import chainer.functions as F
import chainer.links as L
import matplotlib
import numpy as np
from chainer import training
from chainer.training import extensions

matplotlib.use("Agg")


class MLP(chainer.Chain):
    """Three fully connected layers."""

    def __init__(self, n_units, n_out):
        super(MLP, self).__init__()  # noqa: UP008
        with self.init_scope():
            self.l1 = L.Linear(None, n_units)
            self.l2 = L.Linear(None, n_units)
            self.l3 = L.Linear(None, n_out)

    def forward(self, x):
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))


def main():
    """Train for two epochs, and resume from the snapshot."""
    digits = np.random.RandomState(0).rand(60, 784).astype(np.float32)
    data = chainer.datasets.TupleDataset(digits, (digits[:, 0] * 10).astype(np.int32))
    train, test = chainer.datasets.split_dataset(data, 40)
    for epochs in (1, 2):
        model = L.Classifier(MLP(10, 10))
        optimizer = chainer.optimizers.Adam()
        optimizer.setup(model)
        train_iter = chainer.iterators.SerialIterator(train, 20)
        test_iter = chainer.iterators.SerialIterator(test, 20, repeat=False, shuffle=False)
        updater = training.updaters.StandardUpdater(train_iter, optimizer)
        trainer = training.Trainer(updater, (epochs, "epoch"), out="result")
        trainer.extend(extensions.Evaluator(test_iter, model))
        trainer.extend(extensions.DumpGraph("main/loss"))
        trainer.extend(extensions.snapshot(filename="snapshot"), trigger=(1, "epoch"))
        trainer.extend(extensions.LogReport())
        trainer.extend(extensions.PlotReport(["main/loss", "validation/main/loss"], "epoch", filename="loss.png"))
        trainer.extend(extensions.VariableStatisticsPlot(model))
        trainer.extend(extensions.ParameterStatistics(model))
        trainer.extend(extensions.PrintReport(["epoch", "main/loss", "validation/main/accuracy", "elapsed_time"]))
        trainer.extend(extensions.ProgressBar(update_interval=1))
        if epochs == 2:
            chainer.serializers.load_npz("result/snapshot", trainer)
        trainer.run()


if __name__ == "__main__":
    main()
