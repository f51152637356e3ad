"""Losses and gradients of every detector beside torchvision's, from the same weights and with the same draws."""

import chainer
import numpy as np
import pytest

from reference.slim_detectors import SLIM, ask_torchvision, reported_by
from reference.torchvision_names import LOSSES, find_parameter
from reference.training import train_chain

CODE = """
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
    return slim, *ask_torchvision(slim, torchvision_live, tmp_path_factory.mktemp("losses"), CODE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients_are_torchvisions(theirs, dtype):
    """In float64 losses and each array of gradients to 1e-6; in float32 the losses to 1e-5.

    A gradient in float32 is compared roughly: a single ReLU or maximum that rounding turns over changes those of all
    layers before it, in torchvision as here. (There are no more digits in float64 because torch computes the binary
    cross entropy with float32 labels in float32, and default boxes are float32 here.)
    """
    slim, weights, truth, expected = theirs
    prefix, loss_tolerance = f"torch.{dtype} ", {"float32": 1e-5, "float64": 1e-6}[dtype]
    with chainer.using_config("dtype", np.dtype(dtype)):
        model = slim.builder(pretrained_model=weights, **slim.options)
        pinned = {"permutation": np.arange} if hasattr(model, "rpn") else {}
        chain = train_chain(model, **slim.training, **pinned)
        loss, reported = reported_by(chain, truth)
        chain.cleargrads()
        loss.backward()
    reference = {f"loss/{o}": float(expected[prefix + t]) for t, o in LOSSES.items() if prefix + t in expected}
    assert min(reference.values()) > 1e-3
    assert reported == pytest.approx({**reference, "loss": sum(reference.values())}, rel=loss_tolerance)
    grads = {
        path: (param.grad, find_parameter(expected, f"{prefix}grad ", path)) for path, param in model.namedparams()
    }
    largest = max(np.abs(theirs).max() for _, theirs in grads.values())
    if dtype == "float64":
        wrong = {
            path: (np.abs(ours - theirs).max(), np.abs(theirs).max())
            for path, (ours, theirs) in grads.items()
            if not np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max() + 1e-13 * largest
        }
        assert wrong == {}
    else:
        ours, theirs = (np.concatenate([pair[i].ravel() for pair in grads.values()]) for i in (0, 1))
        assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)
