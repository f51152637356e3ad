"""Figures beside the weights that are kept; more of it is in ``test_snapshot``."""

import types

import chainer
import pytest

from chainfpn.serialization import read_weights
from chainfpn.training import BestWeights


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_no_number_is_left_out(figure, tmp_path):
    """No object at all in what is evaluated gives such a one."""
    keep = BestWeights(chainer.links.Linear(1, 1), tmp_path, key="validation/main/map")
    trainer = types.SimpleNamespace(
        updater=types.SimpleNamespace(epoch=1, iteration=10), observation={"validation/main/map": figure}
    )
    keep(trainer)
    assert read_weights(tmp_path / "last.npz")[1]["training"] == {"epoch": 1, "iteration": 10}
    assert not (tmp_path / "best.npz").exists()
    assert keep.best == float("-inf")
