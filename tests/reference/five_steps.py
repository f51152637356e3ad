"""Train a slim detector for five steps, alone or with others, and write its parameters: ``five_steps.py FILE BATCH``.

Every process takes its part of each batch of four images; nothing is random. With a third argument, ``batch``, the
trunk has batch normalization, over all processes, and everything is float64. A fourth, ``pure_nccl``, has each process
train on a GPU.
"""

import sys

import chainfpn  # makes Chainer importable

# isort: split

import chainer
import chainermn
import numpy as np

from chainfpn import datasets, models
from chainfpn.training import GradientClipping, TrainChain, multi_node_optimizer, sync_norm

SLIM = {"stages": (1, 2), "fpn_channels": 8, "head_channels": 8, "min_size": 64, "max_size": 64}


def main(path, batch, norm="frozen", communicator="naive"):
    """Train."""
    dtype = np.float64 if norm == "batch" else np.float32  # the former since it makes more of what rounding does
    with chainer.using_config("dtype", np.dtype(dtype)):
        _train(path, batch, norm, chainermn.create_communicator(communicator), communicator == "pure_nccl")


def _train(path, batch, norm, comm, on_gpu):
    np.random.seed(comm.rank)  # what the first process has drawn must become everyone's
    data = datasets.ShapesDataset(20, 64)
    if norm == "batch" and comm.size > 1:
        norm = sync_norm(comm)
    model = models.fasterrcnn_resnet_fpn(18, 3, norm=norm, **SLIM)
    model.roi_heads.batch_size_per_image, model.rpn.batch_size_per_image = 16, 32
    model.roi_heads.permutation = model.rpn.permutation = np.arange
    chain = TrainChain(model)
    if on_gpu:
        device = chainer.get_device(f"@cupy:{comm.intra_rank}")
        device.use()
        chain.to_device(device)
    optimizer = multi_node_optimizer(chainer.optimizers.MomentumSGD(0.01), chain, comm)
    optimizer.add_hook(GradientClipping(10))
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(1e-4))
    if comm.size * batch != 4:
        raise ValueError(f"all processes together must take 4 images a step, got {comm.size} times {batch}")
    for step in range(5):
        start = 4 * step + batch * comm.rank
        optimizer.update(chain, *datasets.collate([data[i] for i in range(start, start + batch)], None))
    if comm.rank == 0:
        chainfpn.save_weights(path, model)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
