"""A training that was stopped goes on as if it had not been."""

import chainer
import numpy as np
import pytest

from chainfpn import WeightsError, datasets, models, read_weights
from chainfpn.training import (
    KeepWeights,
    LearningRate,
    RandomState,
    Snapshot,
    cosine_schedule,
    load_snapshot,
    save_snapshot,
    train_chain,
)

SLIM = {"stages": (1, 2), "fpn_channels": 8, "head_channels": 8, "min_size": 48, "max_size": 48}


def make_trainer(out, n_iterations, seed=0):
    """Make a trainer of a slim detector: everything random is drawn from NumPy's global generator."""
    np.random.seed(seed)
    data = datasets.ShapesDataset(6, 48)
    chain = train_chain(models.fasterrcnn_resnet_fpn(18, 3, **SLIM), box_batch_size_per_image=16)
    transformed = chainer.datasets.TransformDataset(
        datasets.SkipBroken(data), datasets.Compose(datasets.RandomFlip(), datasets.RandomPhotometric())
    )
    updater = chainer.training.updaters.StandardUpdater(
        datasets.GroupedIterator(transformed, 2),
        chainer.optimizers.MomentumSGD().setup(chain),
        converter=datasets.collate,
    )
    trainer = chainer.training.Trainer(updater, (n_iterations, "iteration"), out)
    trainer.extend(LearningRate(cosine_schedule(0.02, 8)))
    trainer.extend(RandomState())
    trainer.extend(KeepWeights(chain.model, out, key="validation/main/map"))
    trainer.extend(Snapshot(out / "snapshot.npz"))
    return trainer


def state(trainer):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(trainer.updater)
    return serializer.target


def test_going_on_is_the_same_bit_for_bit(tmp_path):
    whole = make_trainer(tmp_path, 8)
    whole.run()
    first = make_trainer(tmp_path, 5)  # within the second epoch, which ends after 6
    first.run()
    save_snapshot(tmp_path / "stopped.npz", first)
    second = make_trainer(tmp_path, 8, seed=99)
    load_snapshot(tmp_path / "stopped.npz", second)
    second.run()
    expected, found = state(whole), state(second)
    assert expected.keys() == found.keys()
    assert len(expected) > 100
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def test_the_extension_writes_every_epoch_and_nothing_else(tmp_path):
    trainer = make_trainer(tmp_path, 7)
    trainer.run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.npz", "snapshot.npz"]
    again = make_trainer(tmp_path, 8)
    load_snapshot(tmp_path / "snapshot.npz", again)
    assert again.updater.iteration == 6
    assert models.load(tmp_path / "last.npz").n_fg_class == 3


def test_the_snapshot_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(WeightsError, match=r"other\.npz: must be the snapshot of a training with the same options"):
        load_snapshot(tmp_path / "other.npz", make_trainer(tmp_path, 1))


class Observed:
    """A trainer that has come to an epoch with a figure."""

    def __init__(self, epoch, **observation):
        self.updater = type("Updater", (), {"epoch": epoch, "iteration": 10 * epoch})
        self.observation = observation


def test_the_best_is_kept_and_remembered(tmp_path):
    model = models.fasterrcnn_resnet_fpn(18, 1, **SLIM)
    keep = KeepWeights(model, tmp_path, key="map", meta={"settings": {"lr": 0.5}})
    for epoch, figure in enumerate((0.2, 0.7, 0.6), start=1):
        keep(Observed(epoch, map=figure))
    keep(Observed(4))
    training = {name: _meta(tmp_path / f"{name}.npz")["training"] for name in ("best", "last")}
    assert training["best"] == {"settings": {"lr": 0.5}, "epoch": 2, "iteration": 20, "map": 0.7}
    assert training["last"] == {"settings": {"lr": 0.5}, "epoch": 4, "iteration": 40}
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(keep)
    other = KeepWeights(model, tmp_path, key="map")
    chainer.serializers.NpzDeserializer(serializer.target).load(other)
    assert other.best == 0.7


def _meta(path):
    return read_weights(path)[1]
