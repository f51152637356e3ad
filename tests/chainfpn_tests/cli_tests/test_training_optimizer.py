"""The optimizers of ``chainfpn train``: updates computed by hand, as PyTorch's documentation has them."""

import argparse
import json

import chainer
import numpy as np
import pytest

from chainfpn.cli.main import main
from chainfpn.cli.training_optimizer import learning_rate, make_optimizer, make_schedule
from chainfpn.cli.training_options import DEFAULTS
from chainfpn.training import LearningRate

WEIGHT, BIAS, GRADIENT = 2.0, 1.0, 0.5


def settings(**given):
    return argparse.Namespace(**{**DEFAULTS, "weight_decay": 0.1, "lr": 0.01, "warm_up": 0, **given})


def updated(rates, **given):
    """Return a weight and a bias after a step at each rate, whose gradients are always the same."""
    chain = chainer.Chain()
    with chain.init_scope():
        chain.weight = chainer.Parameter(np.full((1, 1), WEIGHT, np.float64))
        chain.bias = chainer.Parameter(np.full(1, BIAS, np.float64))
    optimizer = make_optimizer(chain, settings(**given), None)
    steps = LearningRate(lambda iteration: rates[iteration])
    for iteration in range(len(rates)):
        updater = argparse.Namespace(iteration=iteration, get_optimizer=lambda name: optimizer)
        steps(argparse.Namespace(updater=updater))
        for param in chain.params():
            param.grad = np.full_like(param.array, GRADIENT)
        optimizer.update()
    return float(chain.weight.array.item()), float(chain.bias.array.item())


def adam(value, rates, *, decay=0.0, decoupled=False):
    """Return a value after steps of torch.optim.Adam or AdamW."""
    m = v = 0.0
    for t, rate in enumerate(rates, start=1):
        gradient = GRADIENT if decoupled else GRADIENT + decay * value
        value -= rate * decay * value if decoupled else 0
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        # Chainer, as the paper's section 2, adds epsilon to the root of v before it is corrected
        value -= rate * (m / (1 - 0.9**t)) / (np.sqrt(v) + 1e-8) * np.sqrt(1 - 0.999**t)
    return value


def test_momentum():
    rates = (0.01, 0.002)
    first = WEIGHT - 0.01 * (GRADIENT + 0.1 * WEIGHT)
    second = first + 0.8 * (first - WEIGHT) - 0.002 * (GRADIENT + 0.1 * first)
    bias = BIAS - 0.01 * GRADIENT
    bias += 0.8 * (bias - BIAS) - 0.002 * GRADIENT
    found = updated(rates, momentum=0.8, decay_weights_only=True)
    np.testing.assert_allclose(found, (second, bias))
    decayed = BIAS - 0.01 * (GRADIENT + 0.1 * BIAS)
    np.testing.assert_allclose(updated(rates[:1]), (first, decayed))


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled):
    rates, name = (0.01, 0.002, 0.004), "adamw" if decoupled else "adam"
    weight, bias = (adam(value, rates, decay=0.1, decoupled=decoupled) for value in (WEIGHT, BIAS))
    np.testing.assert_allclose(updated(rates, optimizer=name), (weight, bias))
    found = updated(rates, optimizer=name, decay_weights_only=True)
    np.testing.assert_allclose(found, (weight, adam(BIAS, rates, decoupled=decoupled)))


def test_the_rate_is_scaled_to_the_images_of_a_step():
    scaled = settings(lr_batch=16, batch=2, accumulate=3)
    assert learning_rate(scaled, None) == pytest.approx(0.01 * 6 / 16)
    assert learning_rate(scaled, argparse.Namespace(size=8)) == pytest.approx(0.01 * 48 / 16)
    assert learning_rate(settings(batch=2), None) == 0.01


def test_milestones_are_epochs():
    """Of 20 images two make a step: an epoch has ten steps."""
    schedule = make_schedule(settings(schedule="step", milestones=[4, 2], epochs=5), 20, None)
    rates = [schedule(step) for step in (0, 19, 20, 39, 40)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.001, 0.0001])
    schedule = make_schedule(settings(schedule="step", epochs=9), 20, None)
    np.testing.assert_allclose([schedule(step) for step in (59, 60, 79, 80)], [0.01, 0.001, 0.001, 0.0001])


def test_help_all_lists_what_help_does_not(capsys):
    for option, listed in (("--help", False), ("--help-all", True)):
        with pytest.raises(SystemExit, match="0"):
            main(["train", option])
        assert ("--accumulate" in capsys.readouterr().out) == listed


def test_a_training_with_all_of_it(tmp_path, capsys):
    slim = ["depth=18", "stages=[1,2]", "fpn_channels=8", "head_channels=8", "min_size=32", "max_size=48"]
    options = [part for option in slim for part in ("--set", option)]
    options += ["--optimizer", "adamw", "--decay-weights-only", "--accumulate", "2", "--batch", "1", "--lr-batch", "4"]
    options += ["--jitter", "1", "--repeat", "0.9"]
    command = ["train", "--data", "shapes:4", *options, "--epochs", "1", "--samples", "0"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    (entry,) = json.loads((tmp_path / "out" / "log").read_text())
    assert (entry["epoch"], entry["iteration"]) == (1, 2)
    assert main([*command, "--accumulate", "5", "--out", str(tmp_path / "other")]) == 1
    message = "chainfpn train: --batch times --accumulate must be at most the number of images, 4, got 5\n"
    assert capsys.readouterr().err.endswith(message)
