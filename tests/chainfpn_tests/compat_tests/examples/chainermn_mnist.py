"""A classifier trained by several processes, as in Chainer's examples/chainermn/mnist/train_mnist.py."""

import chainer
import chainer.links as L
import chainermn
import numpy as np
from chainer import training
from chainer.training import extensions


def main():
    """Train for two epochs; every process ends with the same weights."""
    comm = chainermn.create_communicator("naive")
    model = L.Classifier(chainer.Sequential(L.Linear(16, 8), chainer.functions.relu, L.Linear(8, 2)))
    optimizer = chainermn.create_multi_node_optimizer(chainer.optimizers.Adam(), comm)
    optimizer.setup(model)
    data = None
    if comm.rank == 0:
        x = np.random.RandomState(0).rand(40, 16).astype(np.float32)
        data = chainer.datasets.TupleDataset(x, (x[:, 0] > 0.5).astype(np.int32))
    data = chainermn.scatter_dataset(data, comm, shuffle=True)
    updater = training.StandardUpdater(chainer.iterators.SerialIterator(data, 10), optimizer)
    trainer = training.Trainer(updater, (2, "epoch"), out=f"result_{comm.rank}")
    iterator = chainer.iterators.SerialIterator(data, 10, repeat=False, shuffle=False)
    trainer.extend(chainermn.create_multi_node_evaluator(extensions.Evaluator(iterator, model), comm))
    trainer.run()
    shared = chainermn.iterators.create_multi_node_iterator(
        chainer.iterators.SerialIterator(x if comm.rank == 0 else [], 2), comm
    )
    assert len(next(shared)) == 2
    weights = [model.predictor[0].W.array.tobytes()]
    assert len(set(comm.allreduce_obj(weights))) == 1
    print("trained")


if __name__ == "__main__":
    main()
