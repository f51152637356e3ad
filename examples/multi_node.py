"""Train a detector on several processes and machines: one process per GPU, or per few cores.

    mpiexec -n 2 python examples/multi_node.py --data shapes
    mpiexec --hostfile hosts -n 16 -x PATH python examples/multi_node.py --data coco --split train2017 --device cuda

Every process reads its share of the data; each step takes the mean of all gradients. It needs an MPI and the extra
mpi. To try it on little:

    mpiexec -n 2 python examples/multi_node.py --data shapes:4 --depth 18 --size 64 --epochs 1 --out sample_multi_node
"""

import argparse
import pathlib

import chainfpn  # first: it makes Chainer importable

# isort: split

import chainer
import chainermn
from chainer.training import StandardUpdater, Trainer, extensions

from chainfpn import datasets, models, training


def main(arguments=None):
    """Train; the first process writes the log and the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="shapes", help="what datasets.open_dataset takes")
    parser.add_argument("--split")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--size", type=int, default=800, help="length of the shorter side")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=1, help="images of each process")
    parser.add_argument("--lr", type=float, default=0.00125, help="for one image; all processes' are counted")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("multi_node"))
    options = parser.parse_args(arguments)

    comm = chainermn.create_communicator("pure_nccl" if options.device == "cuda" else "naive")
    data = datasets.open_dataset(options.data, split=options.split)
    labels = {"n_fg_class": len(data.label_names), "label_names": data.label_names}
    sizes = {"min_size": options.size, "max_size": 2 * options.size}
    model = models.fasterrcnn_resnet_fpn(options.depth, **labels, **sizes)
    chain = training.TrainChain(model)
    if options.device == "cuda":
        device = chainer.get_device(f"@cupy:{comm.intra_rank}")
        device.use()
        chain.to_device(device)
    rate = options.lr * options.batch * comm.size
    optimizer = training.multi_node_optimizer(chainer.optimizers.MomentumSGD(rate), chain, comm)
    optimizer.add_hook(training.GradientClipping(10))
    share = chainermn.scatter_dataset(data if comm.rank == 0 else None, comm, shuffle=True, seed=0)
    iterator = chainer.iterators.SerialIterator(share, options.batch)
    updater = StandardUpdater(iterator, optimizer, converter=datasets.collate, device=chain.device)
    trainer = Trainer(updater, (options.epochs, "epoch"), options.out)
    trainer.extend(training.AverageLosses(comm))
    if comm.rank == 0:
        trainer.extend(extensions.LogReport(trigger=(1, "epoch")))
        trainer.extend(extensions.PrintReport(["epoch", "iteration", "main/loss"]))
    trainer.run()
    if comm.rank == 0:
        chainfpn.save_weights(options.out / "detector.npz", model)


if __name__ == "__main__":
    main()
