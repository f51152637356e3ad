"""The parts of the benchmark of a training step that do not take minutes."""

import argparse

import numpy as np
import pytest

import train_step


@pytest.fixture
def side():
    """Our side of the benchmark, with a network of a few channels."""
    np.random.seed(0)
    network = train_step.Network(depth=18, stages=(1, 2), fpn_channels=8, head_channels=8, n_fg_class=1)
    return train_step.Ours(network, 64, None, 1e-3)


@pytest.mark.slow
def test_the_staged_step_is_a_step_of_training(side):
    before = {name: param.array.copy() for name, param in side.chain.namedparams()}
    np.random.seed(1)
    loss = side.chain([side.img], [train_step.BBOX], [np.zeros(1, np.int32)])
    loss.backward()
    side.optimizer.update()
    side.chain.cleargrads()
    expected = {name: param.array.copy() for name, param in side.chain.namedparams()}
    for name, param in side.chain.namedparams():
        param.array[...] = before[name]
        if param.update_rule is not None and param.update_rule.state is not None:
            param.update_rule.state["v"][...] = 0

    np.random.seed(1)
    laps = []
    losses = side.step(laps.append)
    assert sum(losses) == pytest.approx(float(loss.array), rel=1e-5)
    assert set(laps) == set(train_step.STAGES)
    moved = 0
    for name, param in side.chain.namedparams():
        np.testing.assert_allclose(param.array, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
        moved += not np.array_equal(param.array, before[name])
    assert moved > 10


def test_both_sides_have_the_same_stages_and_weights(torchvision_live):
    network = train_step.Network(depth=18, stages=(1, 2), fpn_channels=8, head_channels=8, n_fg_class=1)
    machine, arguments = train_step.Machine("cpu", 1), argparse.Namespace(repeat=1, rounds=1, brief=False)
    measured = train_step.measure_one("slim", network, 64, torchvision_live, machine, arguments)
    lines = train_step.table(*measured[:4])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [*train_step.STAGES, "**all**"]
    assert all(float(cell) > 0 for row in rows for cell in row[1:6])


def test_the_rows_of_another_number_of_threads_compare_the_largest_stages():
    mine, theirs = ({stage: [value] for stage in train_step.STAGES} for value in (2.0, 3.0))
    lines = train_step.brief_rows("a network", mine, theirs)
    n = len(train_step.STAGES)
    assert lines[0] == "| a network | trunk forward | 2.0000 | 3.0000 | 1.50 |"
    assert lines[-1] == f"|  | **all** | {2 * n}.0000 | {3 * n}.0000 | 1.50 |"
    assert train_step.brief_rows("a network", mine, None)[0] == "| a network | trunk forward | 2.0000 |  |  |"


def test_the_laps_of_a_step_add_up():
    waits = []
    laps = train_step.Laps(processor=False, wait=lambda: waits.append(len(waits)))

    def step(lap):
        lap("a")
        lap("b")
        lap("a")

    seconds = laps.run(step, 3)
    assert seconds.keys() == {"a", "b"}
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert len(waits) == 4 * 3


def test_the_work_of_a_step_is_counted(side):
    limits = side.limits(speed=1.0, bandwidth=1.0)
    # conv1 and layer1 are frozen: their gradients need no work, those of the others one or two times the forward pass
    assert limits["trunk forward"] > limits["trunk backward"] / 2 > 0
    trained = sum(param.size for param in side.chain.params() if param.requires_grad)
    assert limits["update"] == 20 * trained


def test_the_table_compares_medians():
    mine = {stage: [1.0, 3.0, 2.0] for stage in train_step.STAGES}
    theirs = {stage: [6.0] for stage in train_step.STAGES}
    lines = train_step.table(mine, mine, theirs, {"update": 0.5})
    assert lines[2] == "| prepare | 2.0000 | 2.0000 | 6.0000 | 1.00 | 3.00 |  |"
    assert lines[-2] == "| update | 2.0000 | 2.0000 | 6.0000 | 1.00 | 3.00 | 0.5000 |"
    n = len(train_step.STAGES)
    assert lines[-1] == f"| **all** | {2 * n}.0000 | {2 * n}.0000 | {6 * n}.0000 | 1.00 | 3.00 |  |"
    assert train_step.table(mine, mine, None, {})[2] == "| prepare | 2.0000 | 2.0000 |  | 1.00 |  |  |"
