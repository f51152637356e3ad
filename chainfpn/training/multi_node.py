"""One training over several processes."""

import functools

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.training import extension

from chainfpn._typing import Communicator
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.sync_batch_normalization import SyncBatchNormalization


def multi_node_optimizer(optimizer: chainer.Optimizer, link: chainer.Link, comm: Communicator) -> chainer.Optimizer:
    """Set an optimizer up so that all processes make the same steps.

    The parameters of the first process are everyone's; each update uses the mean of all gradients. Unlike ChainerMN's
    own way, which spends the first update on handing out the parameters, every update counts: n processes with a batch
    of b each do what one does with n * b, as far as the loss is a mean over images.

    Args:
        optimizer (chainer.Optimizer): The optimizer, not yet set up.
        link (chainer.Link): What is trained.
        comm (chainermn.CommunicatorBase): ``chainermn.create_communicator('naive')`` on CPUs, ``'pure_nccl'`` on GPUs.

    Returns:
        chainer.Optimizer: The one to give to the updater; hooks are added to it.
    """
    import chainermn

    comm.bcast_data(link)
    optimizer = chainermn.create_multi_node_optimizer(optimizer, comm).setup(link)
    optimizer.is_changed(link)  # it now knows the parameters, and has nothing to hand out
    return optimizer


def sync_norm(comm: Communicator, *, eps: float = 1e-5) -> functools.partial:
    """Return a builder's ``norm`` for batch normalization over all processes.

    Args:
        comm (chainermn.CommunicatorBase): The processes.
        eps (float): Added to the variance before the square root.

    Returns:
        callable: Number of channels to :class:`~chainfpn.links.SyncBatchNormalization`.
    """
    return functools.partial(SyncBatchNormalization, comm=comm, eps=eps)


def synchronize_norms(link: chainer.Link, comm: Communicator) -> None:
    """Let every batch normalization of a network go over all processes; epsilon, decay and weights stay.

    Args:
        link (chainer.Link): The network. Of frozen normalizations nothing is changed.
        comm (chainermn.CommunicatorBase): The processes.

    Source:
        PyTorch 1.13 ``SyncBatchNorm.convert_sync_batchnorm``.
    """
    for child in link.links():
        if type(child) is BatchNormalization:
            SyncBatchNormalization.convert(child, comm)


def average_statistics(link: chainer.Link, comm: Communicator) -> None:
    """Give all processes the mean of their running statistics of batch normalization.

    Args:
        link (chainer.Link): A network that has the same layers in every process.
        comm (chainermn.CommunicatorBase): The processes.
    """
    layers = [child for _, child in sorted(link.namedlinks()) if getattr(child, "avg_mean", None) is not None]
    arrays = [array for layer in layers for array in (layer.avg_mean, layer.avg_var)]  # (C,) each
    if not arrays:
        return
    values = np.concatenate([cuda.to_cpu(array) for array in arrays]).astype(np.float64)
    parts = np.split(comm.allreduce(values) / comm.size, np.cumsum([len(array) for array in arrays])[:-1])
    for array, part in zip(arrays, parts, strict=True):
        array[...] = cuda.get_array_module(array).asarray(part.astype(array.dtype))


class AverageStatistics(extension.Extension):
    """Average the running statistics of batch normalization before they are evaluated and saved.

    In training every process normalizes with the statistics of its own batch (unless the normalization is
    :func:`sync_norm`'s), so that its running statistics are those of its part of the data. All processes must have
    this extension.

    Args:
        model (chainer.Link): The network.
        comm (chainermn.CommunicatorBase): The processes.
    """

    trigger = 1, "epoch"
    priority = extension.PRIORITY_WRITER + 1  # before the evaluation

    def __init__(self, model: chainer.Link, comm: Communicator) -> None:
        self.model, self.comm = model, comm

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Average."""
        average_statistics(self.model, self.comm)


class AverageLosses(extension.Extension):
    """Let every process observe the mean of all processes' losses, so that a log has those of the whole batch.

    All processes must have this extension.

    Args:
        comm (chainermn.CommunicatorBase): The processes.
        prefix (str): How the names of what is averaged begin.
    """

    priority = extension.PRIORITY_EDITOR  # before whatever reads it

    def __init__(self, comm: Communicator, *, prefix: str = "main/loss") -> None:
        self.comm, self.prefix = comm, prefix

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Average.

        Args:
            trainer (chainer.training.Trainer): Its observation is changed.
        """
        names = sorted(name for name in trainer.observation if name.startswith(self.prefix))
        values = np.array([float(chainer.as_array(trainer.observation[name])) for name in names])
        trainer.observation.update(zip(names, (self.comm.allreduce(values) / self.comm.size).tolist(), strict=True))
