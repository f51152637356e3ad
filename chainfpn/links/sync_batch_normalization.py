"""Batch normalization over the batches of several processes, as if they were one."""

from typing import Any

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.functions.normalization import batch_normalization

from chainfpn._typing import Variable
from chainfpn.errors import InvalidType
from chainfpn.functions._fixed_normalization import add_relu
from chainfpn.links.batch_normalization import BatchNormalization


class SyncBatchNormalization(BatchNormalization):
    """Batch normalization whose mean and variance, in training, are those of all processes' batches together.

    What it computes, its gradients once they are averaged over the processes, and its running statistics are those of
    :class:`BatchNormalization` on the whole batch. (Chainer's ``MultiNodeBatchNormalization`` counts each process's
    share alike, however large it is, corrects the running variance for the share's size instead of the batch's, and
    squares float16 in float16.) All processes must come by equally often, forward and backward.

    What is exchanged, two numbers per channel, goes through the host, so that on GPUs any MPI will do. Weight files are
    those of :class:`BatchNormalization`.

    Args:
        size (int): Channels.
        comm (chainermn.CommunicatorBase): The processes.
        eps (float): Added to the variance before the square root.
        decay (float): Weight of the past in the running statistics.

    Source:
        PyTorch 1.13 ``SyncBatchNorm``.
    """

    def __init__(self, size: int, comm: Any, *, eps: float = 1e-5, decay: float = 0.9) -> None:
        super().__init__(size, eps=eps, decay=decay)
        self._exchange(comm)

    @classmethod
    def convert(cls, link: BatchNormalization, comm: Any) -> None:
        """Make a batch normalization one over processes, in its place and with all that it has.

        Args:
            link (BatchNormalization): The link.
            comm (chainermn.CommunicatorBase): The processes.
        """
        link.__class__ = cls
        cls._exchange(link, comm)

    def _exchange(self, comm: Any) -> None:
        self._sum = _SumOverProcesses(comm)

    def forward(self, x: Variable, residual: Variable | None = None, *, relu: bool = False, **kwargs: Any) -> Variable:
        """Normalize; add and rectify: see :meth:`BatchNormalization.forward`.

        Args:
            x (Variable): float16/32/64, (B, C, ...), of this process.
            residual (Variable or None): dtype and shape of x, added.
            relu (bool): Rectify in the end.
            **kwargs (bool): As :class:`BatchNormalization` takes them, in test mode.

        Returns:
            Variable: dtype and shape of x.
        """
        if not chainer.config.train:
            return super().forward(x, residual, relu=relu, **kwargs)  # (B, C, ...)
        statistics = (None, None) if chainer.config.in_recomputing else (self.avg_mean, self.avg_var)
        node = batch_normalization.BatchNormalization(
            self.eps, *statistics, self.decay, impl_selector=lambda node, inputs: _OverProcesses(self._sum)
        )
        return add_relu(node.apply((x, self.gamma, self.beta))[0], residual, relu)  # (B, C, ...)


class _SumOverProcesses:
    """Sums an array over processes; a copy has the same communicator, for which there is no copy."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm

    def __call__(self, x):
        return self._comm.allreduce(x)

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        where, rule = "SyncBatchNormalization", "a link without processes; save_weights keeps what it has learned"
        raise InvalidType(where, "what is pickled", rule, self, got="one over processes")


class _OverProcesses(batch_normalization.GeneralBatchNormalizationImpl):
    """Chainer's arithmetic with sums over processes, for one forward pass and its backward pass."""

    def __init__(self, sum_over_processes):
        self._sum = sum_over_processes
        self._n = self._share = None  # elements per channel, of all processes; how much of them is here

    def get_mean_and_var(self, axis, gamma, x, xp, interm_dtype):
        """Compute the moments of all processes' elements, (C,) each."""
        mean, var = super().get_mean_and_var(axis, gamma, x, xp, interm_dtype)  # of this process
        mean, var = (cuda.to_cpu(a).astype(np.float64) for a in (mean, var))  # for the variance is a difference of sums
        n = x.size // mean.size
        sums = self._sum(np.concatenate(([n], n * mean, n * (var + mean**2))))  # (1 + 2C,)
        self._n, self._share = sums[0], n / sums[0]
        mean, square = sums[1:].reshape(2, -1) / sums[0]
        var = np.maximum(square - mean**2, 0)
        return tuple(xp.asarray(a.astype(interm_dtype)) for a in (mean, var))

    def forward(self, axis, gamma, x, x_layout, xp, expander, beta, eps, decay, running_mean, running_var):
        """Normalize; update the running statistics by the number of elements in all processes."""
        y, layout, _, _, mean, var, *rest = super().forward(
            axis, gamma, x, x_layout, xp, expander, beta, eps, decay, None, None
        )
        if running_mean is not None:
            unbiased = self._n / max(self._n - 1, 1)
            running_mean[...] = decay * running_mean + (1 - decay) * mean
            running_var[...] = decay * running_var + (1 - decay) * unbiased * var
        return y, layout, running_mean, running_var, mean, var, *rest

    def get_ggamma_and_gbeta(self, axis, gamma, gy, x_hat, xp):
        """Sum the gradients of all processes, times this one's share of the elements.

        By its own number of elements the caller divides them for the gradient of x, which is then right; and the mean
        over processes of the gradients of gamma and beta is that of their sums.
        """
        gbeta, ggamma = super().get_ggamma_and_gbeta(axis, gamma, gy, x_hat, xp)  # (C,), (C,)
        sums = self._sum(cuda.to_cpu(xp.concatenate((gbeta, ggamma))).astype(np.float64)) * self._share
        return tuple(xp.asarray(a.astype(gamma.dtype)) for a in sums.reshape(2, -1))
