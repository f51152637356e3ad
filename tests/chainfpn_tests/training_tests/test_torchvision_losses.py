"""Losses and gradients of every detector beside torchvision's, from the same weights and with the same draws."""

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.models.weights import find_weights
from chainfpn.training import train_chain
from reference.random_networks import RANDOM_NETWORKS
from reference.slim_detectors import SLIM, SLIM_DETECTORS, as_inputs, pictures

#: torchvision's names of the losses.
NAMES = {
    "loss_objectness": "rpn_objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "roi_class",
    "loss_box_reg": "roi_box",
}

#: Leaves of a Chainer link, and torch's names for them.
LEAVES = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}

CODE = """
{theirs}
imgs, targets = batch(torch.float32)
run = lambda: model.eval()(imgs)
settle(model, lambda: model.backbone(model.transform(imgs)[0].tensors), 0)
{spread}
torch.save(model.state_dict(), folder / "weights.pth")
model.train()
for dtype in (torch.float32, torch.float64):
    model.to(dtype).zero_grad()
    losses = model(*batch(dtype))
    sum(losses.values()).backward()
    outputs.update({{f"{{dtype}} {{name}}": value for name, value in losses.items()}})
    outputs.update({{f"{{dtype}} grad {{name}}": p.grad.clone() for name, p in model.named_parameters()}})
"""


@pytest.fixture(scope="module", params=SLIM)
def theirs(request, torchvision_live, tmp_path_factory):
    """A slim detector, its weights, the pictures, and torchvision's losses and gradients."""
    slim = SLIM[request.param]
    folder = tmp_path_factory.mktemp("losses")
    truth = pictures()
    code = RANDOM_NETWORKS + SLIM_DETECTORS + CODE.format(theirs=slim.theirs, spread=slim.spread)
    expected = torchvision_live.run(code, folder=folder, **as_inputs(*truth))
    return slim, find_weights(folder / "weights.pth", name=None, zoo=(), convert_as="any"), truth, expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients_are_torchvisions(theirs, dtype):
    """In float64 all to 1e-7, for torch computes the binary cross entropy with float32 labels in float32.

    In float32 the losses to 1e-5, the gradients to 1e-4 of the largest in each array, or to thrice what torch's own
    rounding does to them: a sum over all pixels of a picture, such as the first layer's, has no more digits.
    """
    slim, weights, truth, expected = theirs
    loss_tolerance, grad_tolerance = {"float32": (1e-5, 1e-4), "float64": (1e-7, 1e-7)}[dtype]
    with chainer.using_config("dtype", np.dtype(dtype)):
        model = getattr(models, slim.builder)(pretrained_model=weights, **slim.options)
        chain = train_chain(model, permutation=np.arange)
        reporter = chainer.Reporter()
        reporter.add_observer("main", chain)
        with reporter.scope({}):
            loss = chain(*truth)
            reported = {name: float(value) for name, value in reporter.observation.items()}
        chain.cleargrads()
        loss.backward()
    prefix = f"torch.{dtype} "
    reference = {f"main/loss/{ours}": float(expected[prefix + name]) for name, ours in NAMES.items()}
    reference["main/loss"] = sum(reference.values())
    assert reported == pytest.approx(reference, rel=loss_tolerance)
    assert min(reference.values()) > 1e-3
    wrong = {}
    for path, param in model.namedparams():
        reference = _theirs(expected, f"{prefix}grad ", path)
        noise = np.abs(reference - _theirs(expected, "torch.float64 grad ", path)).max()
        error, largest = np.abs(param.grad - reference).max(), np.abs(reference).max()
        if not error <= max(grad_tolerance * largest, 3 * noise):
            wrong[path] = error, largest, noise
    assert wrong == {}


def _theirs(expected, prefix, path):
    """Find the array of a parameter; torchvision nests some convolutions once or twice more."""
    stem, _, leaf = path.strip("/").replace("/", ".").rpartition(".")
    (name,) = {f"{prefix}{stem}{nested}.{LEAVES[leaf]}" for nested in ("", ".0", ".0.0")} & expected.keys()
    return expected[name]
