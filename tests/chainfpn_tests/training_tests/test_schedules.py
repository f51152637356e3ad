"""Learning rates, and the extension that sets them."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest

from chainfpn.training import LearningRate, cosine_schedule, step_schedule, warm_up


def test_a_step_begins_at_its_milestone():
    schedule = step_schedule(1.0, [3, 5], gamma=0.5)
    assert [schedule(i) for i in range(7)] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_the_cosine_is_halfway_in_the_middle_and_stays_at_its_end():
    schedule = cosine_schedule(0.2, 10, final=0.1)
    assert [schedule(i) for i in (0, 5, 10, 50)] == pytest.approx([0.2, 0.11, 0.02, 0.02])


def test_the_warm_up_is_a_line_to_the_other_schedule():
    schedule = warm_up(step_schedule(1.0, [3], gamma=0.5), 4, start=0.2)
    assert [schedule(i) for i in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.5, 0.5])
    assert warm_up(step_schedule(1.0, []), 0)(0) == 1


def test_schedules_are_torchs(torchvision_live):
    live = torchvision_live.run(
        """
        def rates(make, n=12):
            parameter = torch.nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.SGD([parameter], lr=0.5)
            scheduler = make(optimizer)
            found = []
            for _ in range(n):
                found.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
            return np.array(found)

        schedulers = torch.optim.lr_scheduler
        outputs["step"] = rates(lambda o: schedulers.MultiStepLR(o, [4, 7], gamma=0.1))
        outputs["cosine"] = rates(lambda o: schedulers.CosineAnnealingLR(o, 12, eta_min=0.05))
        outputs["warm"] = rates(lambda o: schedulers.LinearLR(o, start_factor=0.001, total_iters=5))
        """
    )
    ours = {
        "step": step_schedule(0.5, [4, 7]),
        "cosine": cosine_schedule(0.5, 12, final=0.1),
        "warm": warm_up(lambda iteration: 0.5, 5),
    }
    for name, schedule in ours.items():
        np.testing.assert_allclose([schedule(i) for i in range(12)], live[name], rtol=1e-6, err_msg=name)


def test_every_update_has_its_rate(tmp_path):
    link = L.Linear(1, 1)
    optimizer = chainer.optimizers.SGD(lr=9.0).setup(link)
    used = []
    updater = chainer.training.updaters.StandardUpdater(
        chainer.iterators.SerialIterator([(np.ones(1, "f"),)] * 4, 1, shuffle=False),
        optimizer,
        loss_func=lambda x: used.append(optimizer.lr) or F.sum(link(x)),
    )
    trainer = chainer.training.Trainer(updater, (4, "iteration"), tmp_path)
    trainer.extend(LearningRate(step_schedule(0.5, [2], gamma=0.5)))
    trainer.run()
    assert used == [0.5, 0.5, 0.25, 0.25]
