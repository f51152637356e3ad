"""Batch normalization, its statistics and losses over processes, in place of which threads exchange arrays."""

import argparse
import copy
import threading
import types
from concurrent import futures

import chainer
import chainer.functions as F
import numpy as np

from chainfpn import load_weights, models, save_weights
from chainfpn.cli.training_model import build_model
from chainfpn.datasets import ShapesDataset
from chainfpn.links import BatchNormalization, FrozenBatchNormalization, SyncBatchNormalization
from chainfpn.training import AverageLosses, AverageStatistics, sync_norm, synchronize_norms


class Threads:
    """Communicators of threads that each run what one process would."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.given = [None] * size

    def run(self, function):
        """Call a function with each communicator; return what it returns."""
        with futures.ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(function, [_Thread(self, rank) for rank in range(self.size)]))


class _Thread:
    def __init__(self, threads, rank):
        self.threads, self.rank, self.size = threads, rank, threads.size

    def allreduce(self, array):
        self.threads.given[self.rank] = array
        self.threads.barrier.wait()
        total = sum(self.threads.given)
        self.threads.barrier.wait()  # everyone has read
        return total


def test_shares_of_unequal_size_in_every_precision():
    """Statistics, outputs and gradients are those of the batch that the shares make up."""
    random = np.random.RandomState(0)
    for dtype, tolerance in ((np.float16, 2e-3), (np.float32, 1e-6), (np.float64, 1e-13)):
        x = random.normal(100, 20, (5, 4, 3, 6)).astype(dtype)
        weight = random.normal(size=x.shape).astype(dtype)

        def run(norm, here, x=x, weight=weight, dtype=dtype):
            with chainer.using_config("dtype", chainer.mixed16 if dtype == np.float16 else np.dtype(dtype)):
                link, part = norm(4), chainer.Variable(x[here])
                with chainer.using_config("train", True):
                    y = link(part)
            link.cleargrads()
            F.sum(F.cast(y, "float64") * weight[here]).backward()
            return y.array, part.grad, link.gamma.grad, link.beta.grad, link.avg_mean, link.avg_var

        y, gx, ggamma, gbeta, mean, var = whole = run(BatchNormalization, slice(None))
        assert all(np.isfinite(array).all() for array in whole)
        places = slice(0, 2), slice(2, 3), slice(3, 5)
        shares = Threads(3).run(lambda comm, run=run, places=places: run(sync_norm(comm), places[comm.rank]))
        close = {"rtol": tolerance, "atol": tolerance * 10}
        np.testing.assert_allclose(np.concatenate([share[0] for share in shares]), y, **close)
        np.testing.assert_allclose(np.concatenate([share[1] for share in shares]), gx, **close)
        np.testing.assert_allclose(sum(share[2] for share in shares), ggamma, **close)
        np.testing.assert_allclose(sum(share[3] for share in shares), gbeta, **close)
        for share in shares:
            assert share[0].dtype == dtype
            np.testing.assert_allclose(share[4], mean, rtol=tolerance)
            np.testing.assert_allclose(share[5], var, rtol=tolerance)


def test_it_is_batch_normalization_elsewhere(tmp_path):
    """In its files, when detecting, and when it is copied, which a communicator cannot be."""
    (link,) = Threads(1).run(lambda comm: models.resnet18(2, norm=sync_norm(comm, eps=1e-3)))
    assert type(link.bn1) is SyncBatchNormalization
    assert link.bn1.eps == 1e-3
    other = models.resnet18(2, norm=BatchNormalization)
    link.bn1.avg_mean[...] = 0.5
    save_weights(tmp_path / "sync.npz", link)
    load_weights(tmp_path / "sync.npz", other)
    other.bn1.eps = 1e-3
    x = np.random.RandomState(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    twin = copy.deepcopy(link)
    with chainer.using_config("train", False):
        expected = other.bn1(other.conv1(x)).array
        for norm in (link.bn1, twin.bn1):
            np.testing.assert_array_equal(norm(link.conv1(x)).array, expected)


def test_statistics_are_averaged():
    """Those of frozen layers, which are everywhere the same, stay as they are to the last bit."""

    def run(comm):
        model = chainer.Sequential(BatchNormalization(2), FrozenBatchNormalization(2), BatchNormalization(3))
        model[0].avg_mean[...] = comm.rank
        model[1].avg_var[...] = 0.1
        model[2].avg_var[...] = [1, 2, 3 * comm.rank]
        AverageStatistics(model, comm)(None)
        return [(link.avg_mean, link.avg_var) for link in model]

    for (mean, one), (zero, tenth), (nothing, var) in Threads(3).run(run):
        np.testing.assert_array_equal(mean, [1, 1])
        np.testing.assert_array_equal(one, [1, 1])
        np.testing.assert_array_equal(tenth, np.full(2, 0.1, np.float32))
        np.testing.assert_array_equal(var, [1, 2, 3])
        assert not zero.any()
        assert not nothing.any()
    assert Threads(1).run(lambda comm: AverageStatistics(chainer.Sequential(), comm)(None)) == [None]


def test_losses_are_averaged():
    def run(comm):
        of_this = {"main/loss": np.float32(comm.rank), "main/loss/box": np.full((), 3 * comm.rank), "lr": comm.rank}
        trainer = types.SimpleNamespace(observation=of_this)
        AverageLosses(comm)(trainer)
        return trainer.observation

    assert Threads(2).run(run) == [{"main/loss": 0.5, "main/loss/box": 1.5, "lr": rank} for rank in (0, 1)]


def test_a_network_is_converted_with_its_own_constants():
    link = chainer.Sequential(BatchNormalization(2, eps=1e-3, decay=0.99), FrozenBatchNormalization(2))
    link[0].gamma.array[...] = 3
    before = link[0].gamma
    synchronize_norms(link, Threads(1))
    norm, frozen = link
    assert (type(norm), type(frozen)) == (SyncBatchNormalization, FrozenBatchNormalization)
    assert (norm.eps, norm.decay) == (1e-3, 0.99)
    assert norm.gamma is before


def test_a_trunk_over_processes_has_its_own_epsilon():
    """An EfficientNetV2's is 1e-3, as its files were trained."""
    pairs = ["depth=efficientnet_v2_s", "stages=[1,2]", "fpn_channels=8", "head_channels=8", "norm=sync"]
    settings = argparse.Namespace(set=pairs, weights=None, model=None, resume_state=None, train_sizes=None)
    model = build_model(settings, ShapesDataset(1), print, Threads(1))
    norms = [link for link in model.links() if isinstance(link, BatchNormalization)]
    assert {(type(link), link.eps) for link in norms} == {(SyncBatchNormalization, 1e-3)}
    assert model.meta["arguments"]["norm"] == "batch"
