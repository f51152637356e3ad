"""Parts of a batch give the gradient of the whole."""

import chainer
import numpy as np
import pytest

from chainfpn.training import AccumulatingUpdater, SnapshotTrigger


class Mean(chainer.Chain):
    """The mean of w * x + w ** 2 over a batch: its gradient is the mean of x + 2 w."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.w = chainer.Parameter(np.array(3, np.float32))
        self.sizes = []

    def forward(self, xs):
        self.sizes.append(len(xs))
        loss = chainer.functions.mean(self.w * np.array(xs, np.float32)) + self.w**2
        chainer.report({"loss": loss.array}, self)
        return loss


def make_trainer(n_parts, out):
    iterator = chainer.iterators.SerialIterator([(np.float32(x),) for x in (1, 2, 3, 6)], 4, shuffle=False)
    optimizer = chainer.optimizers.SGD(0.5).setup(Mean())
    updater = AccumulatingUpdater(iterator, optimizer, n_parts=n_parts)
    return chainer.training.Trainer(updater, (1, "iteration"), out=out)


@pytest.mark.parametrize("n_parts", [1, 2, 4])
def test_one_update_of_all_parts(n_parts, tmp_path):
    trainer = make_trainer(n_parts, tmp_path)
    trainer.run()
    chain = trainer.updater.get_optimizer("main").target
    assert chain.sizes == [4 // n_parts] * n_parts
    np.testing.assert_allclose(chain.w.array, 3 - 0.5 * (3 + 2 * 3))
    np.testing.assert_allclose(float(trainer.observation["main/loss"]), 3 * 3 + 9)
    assert trainer.updater.get_optimizer("main").t == trainer.updater.iteration == 1
    assert 0 < trainer.updater.seconds_waited < 60


@pytest.mark.parametrize("n_parts", [1, 2])
def test_an_update_without_a_trainer(n_parts, tmp_path):
    updater = make_trainer(n_parts, tmp_path).updater
    updater.update()
    np.testing.assert_allclose(updater.get_optimizer("main").target.w.array, 3 - 0.5 * (3 + 2 * 3))


def test_a_batch_that_cannot_be_parted_is_refused(tmp_path):
    with pytest.raises(ValueError, match="n_parts must be >= 1 and divide the batch of 4, got 3"):
        make_trainer(3, tmp_path)


def test_a_snapshot_is_due_at_first_and_at_every_epoch_and_after_some_time(monkeypatch):
    now, updater = [100.0], type("Updater", (), {"is_new_epoch": False})
    monkeypatch.setattr("chainfpn.training.snapshot.time.monotonic", lambda: now[0])
    trigger, trainer = SnapshotTrigger(60), type("Trainer", (), {"updater": updater})
    due = []
    for now[0], updater.is_new_epoch in (
        (100, False),
        (159, False),
        (160, False),
        (170, True),
        (229, False),
        (230, False),
    ):
        due.append(trigger(trainer))
    assert due == [True, False, True, True, False, True]
