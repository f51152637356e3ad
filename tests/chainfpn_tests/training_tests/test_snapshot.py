"""A training that was stopped goes on as if it had not been."""

import argparse
import functools

import chainer
import numpy as np
import pytest
from chainer.training.triggers import ManualScheduleTrigger

from chainfpn import WeightsError, datasets, models, read_weights
from chainfpn.training import (
    BestWeights,
    LearningRate,
    MixedPrecisionState,
    RandomState,
    Snapshot,
    cosine_schedule,
    load_snapshot,
    save_snapshot,
)
from reference.arrays import assert_same_arrays, saved
from reference.training import train_chain

SLIM = {"stages": (1, 2), "fpn_channels": 8, "head_channels": 8, "min_size": 48, "max_size": 48}


def make_trainer(out, n_iterations, seed=0):
    """Make a trainer of a slim detector: everything random is drawn from NumPy's global generator."""
    np.random.seed(seed)
    data = datasets.ShapesDataset(6, 48)
    chain = train_chain(models.fasterrcnn_resnet_fpn(18, 3, **SLIM), box_batch_size_per_image=16)
    transformed = chainer.datasets.TransformDataset(
        datasets.ValidatedDataset(data), datasets.Compose(datasets.RandomFlip(), datasets.RandomPhotometric())
    )
    optimizer = chainer.optimizers.MomentumSGD()
    if chainer.config.dtype == chainer.mixed16:
        optimizer.use_fp32_update()
        optimizer.loss_scaling(interval=5)
    iterator = datasets.AspectRatioGroupedIterator(transformed, 2)
    updater = chainer.training.updaters.StandardUpdater(iterator, optimizer.setup(chain), converter=datasets.collate)
    trainer = chainer.training.Trainer(updater, (n_iterations, "iteration"), out)
    trainer.extend(LearningRate(cosine_schedule(0.02, 8)))
    trainer.extend(RandomState())
    trainer.extend(MixedPrecisionState(optimizer))
    if chainer.config.dtype == chainer.mixed16:  # from there on the scale rises by a fifth of an octave, not an octave
        overflow = functools.partial(setattr, optimizer, "_loss_scaling_isnan_ever", True)
        trainer.extend(lambda trainer: overflow(), name="overflow", trigger=ManualScheduleTrigger(2, "iteration"))
    trainer.extend(BestWeights(chain.model, out, key="validation/main/map"))
    trainer.extend(Snapshot(out / "snapshot.npz"))
    return trainer


def state(trainer):
    optimizer = trainer.updater.get_optimizer("main")
    rules = {f"float32{path}": param.update_rule for path, param in optimizer.target.namedparams()}
    masters = {name: rule._fp32_param.array for name, rule in rules.items() if rule._fp32_param is not None}
    return {**saved(trainer.updater), "loss_scale": optimizer._loss_scale, **masters}


@pytest.mark.parametrize(
    "dtype", [np.dtype(np.float32), pytest.param(chainer.mixed16, marks=pytest.mark.slow)], ids=["float32", "mixed16"]
)
def test_going_on_is_the_same_bit_for_bit(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(chainer.config, "dtype", dtype)
    whole = make_trainer(tmp_path, 8)
    whole.run()
    first = make_trainer(tmp_path, 5)  # within the second epoch, which ends after 6
    first.run()
    save_snapshot(tmp_path / "stopped.npz", first)
    second = make_trainer(tmp_path, 8, seed=99)
    load_snapshot(tmp_path / "stopped.npz", second)
    second.run()
    expected, found = state(whole), state(second)
    assert len(expected) > 100
    if dtype == chainer.mixed16:
        assert len([name for name in expected if name.startswith("float32/")]) > 30
        assert expected["loss_scale"] == pytest.approx(2 ** (2 + 6 / 5))
    assert_same_arrays(found, expected)


def test_weights_in_float32_are_what_a_snapshot_has_not_got_without_the_extension(tmp_path):
    """Nor does full precision put anything into it."""
    names = []
    for dtype in (np.dtype(np.float32), chainer.mixed16):
        with chainer.using_config("dtype", dtype):
            trainer = make_trainer(tmp_path, 1)
            trainer.run()
            save_snapshot(tmp_path / "snapshot.npz", trainer)
        with np.load(tmp_path / "snapshot.npz") as file:
            names.append({key.partition("MixedPrecisionState/")[2] for key in file.files})
    assert not any(name.startswith(("loss_scale", "overflowed", "float32/")) for name in names[0])
    assert {"loss_scale", "overflowed", "float32/model/backbone/body/conv1/W"} < names[1]
    weight = trainer.updater.get_optimizer("main").target.model.backbone.body.conv1.W
    master = weight.update_rule._fp32_param.array
    np.testing.assert_array_equal(master.astype(np.float16), weight.array)
    assert (master != weight.array).any()


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
    keep = BestWeights(model, tmp_path, key="map", meta={"settings": {"lr": 0.5}})
    for epoch, figure in enumerate((0.2, 0.7, 0.6), start=1):
        keep(Observed(epoch, map=figure))
    keep(Observed(4))
    training = {name: _meta(tmp_path / f"{name}.npz")["training"] for name in ("best", "last")}
    assert training["best"] == {"settings": {"lr": 0.5}, "epoch": 2, "iteration": 20, "map": 0.7}
    assert training["last"] == {"settings": {"lr": 0.5}, "epoch": 4, "iteration": 40}
    other = BestWeights(model, tmp_path, key="map")
    chainer.serializers.NpzDeserializer(saved(keep)).load(other)
    assert other.best == 0.7


def _meta(path):
    return read_weights(path)[1]


class Meeting:
    """A communicator in place of MPI's."""

    def __init__(self, rank, barrier):
        self.rank = rank
        self.mpi_comm = argparse.Namespace(barrier=barrier)


@pytest.fixture
def write(monkeypatch):
    """Let a snapshot be a text."""
    monkeypatch.setattr("chainfpn.training.snapshot.save_snapshot", lambda path, trainer: path.write_text(trainer))


@pytest.mark.parametrize(("rank", "name"), [(0, "snapshot.npz"), (1, "snapshot-1.npz")])
def test_the_old_file_stays_until_all_new_ones_are_there(rank, name, tmp_path, write):
    seen = []
    snapshot = Snapshot(tmp_path / "snapshot.npz", comm=Meeting(rank, lambda: seen.append((tmp_path / name).exists())))
    snapshot("first")
    snapshot("second")
    assert seen == [False, True]
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "second")]


def test_a_process_that_fails_leaves_the_old_files(tmp_path, write):
    def fail():
        raise KeyboardInterrupt

    Snapshot(tmp_path / "snapshot.npz", comm=Meeting(0, lambda: None))("first")
    with pytest.raises(KeyboardInterrupt):
        Snapshot(tmp_path / "snapshot.npz", comm=Meeting(0, fail))("second")
    assert (tmp_path / "snapshot.npz").read_text() == "first"
