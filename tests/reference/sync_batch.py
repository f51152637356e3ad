"""Run a ResNet-18 on shares of a batch, forward and backward: ``sync_batch.py FILE SHARE,SHARE ...``.

Each file is of one way to share a batch: a number of images for every process. A single process uses plain batch
normalization. The first one writes outputs, gradients and running statistics of all together.
"""

import sys

from chainfpn import models  # first, so that Chainer imports

# isort: split

import chainer
import chainer.functions as F
import chainermn
import numpy as np

from chainfpn.links import BatchNormalization
from chainfpn.training import sync_norm


def main(path, *shares):
    """Run and write."""
    comm = chainermn.create_communicator("naive")
    stops = np.cumsum(shares)
    here = slice(stops[comm.rank] - shares[comm.rank], stops[comm.rank])
    arrays = {}
    for dtype in (np.float32, np.float64):
        random = np.random.RandomState(0)
        x = random.normal(3, 1, (stops[-1], 3, 33, 47)).astype(dtype)
        weight = random.normal(size=(stops[-1], 5)).astype(dtype)
        np.random.seed(1)
        with chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", True):
            model = models.resnet18(5, norm=BatchNormalization if comm.size == 1 else sync_norm(comm))
            y = model(x[here])
            loss = F.sum(y * weight[here]) * comm.size  # the mean over processes is the sum over images
            model.cleargrads()
            loss.backward()
        comm.multi_node_mean_grad(model)
        outputs = comm.gather_obj(y.array)
        if comm.rank == 0:
            found = {"y": np.concatenate(outputs)}
            found |= {f"gradient of {name}": param.grad for name, param in model.namedparams()}
            for name, link in model.namedlinks():
                if hasattr(link, "avg_mean"):
                    found |= {f"{name} mean": link.avg_mean, f"{name} variance": link.avg_var}
            arrays |= {f"{np.dtype(dtype)} {name}": array for name, array in found.items()}
    if comm.rank == 0:
        np.savez(path, **arrays)


if __name__ == "__main__":
    for path, shares in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        main(path, *map(int, shares.split(",")))
