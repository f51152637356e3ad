"""Every detector on a GPU beside torchvision on it: detections, losses and gradients, from the same weights."""

import chainer
import numpy as np
import pytest

from reference import fake_cupy
from reference.slim_detectors import SLIM, ask_torchvision, reported_by
from reference.torchvision_names import LOSSES, find_parameter
from reference.training import train_chain

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

#: Random weights are made on the CPU; then everything is computed on the device, in float64 and, without TF32, float32.
CODE = """
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
device = str(inputs["device"])
for dtype in (torch.float32, torch.float64):
    imgs, targets = batch(dtype)
    imgs = [img.to(device) for img in imgs]
    targets = [{{name: value.to(device) for name, value in target.items()}} for target in targets]
    model.load_state_dict(torch.load(folder / "weights.pth"))  # a training step moves running statistics
    model.to(device, dtype).zero_grad()
    with torch.no_grad():
        for i, found in enumerate(model.eval()(imgs)):
            outputs.update({{f"{{dtype}} {{name}}{{i}}": value.cpu() for name, value in found.items()}})
    losses = model.train()(imgs, targets)
    sum(losses.values()).backward()
    outputs.update({{f"{{dtype}} {{name}}": value.detach().cpu() for name, value in losses.items()}})
    outputs.update({{f"{{dtype}} grad {{name}}": p.grad.cpu().clone() for name, p in model.named_parameters()}})
"""


@pytest.fixture(scope="module", params=SLIM)
def theirs(request, torchvision_live, tmp_path_factory):
    """A slim detector, its weights, the pictures, and what torchvision makes of them on a GPU."""
    slim = SLIM[request.param]
    device = np.array("cpu" if fake_cupy.is_installed() else "cuda")
    return slim, *ask_torchvision(slim, torchvision_live, tmp_path_factory.mktemp("cuda"), CODE, device=device)


def _build(slim, weights, device):
    model = slim.builder(pretrained_model=weights, **slim.options)
    if hasattr(model, "rpn"):  # as the slim detectors of torchvision
        model.rpn.post_nms_top_n_test, model.roi_heads.detections_per_img = 20, 5
    model.to_device(device)
    return model


def _step(slim, model, truth):
    """Return the reported losses, and the gradients."""
    chain = train_chain(model, **slim.training, **({"permutation": np.arange} if hasattr(model, "rpn") else {}))
    chain.to_device(model.device)
    loss, reported = reported_by(chain, truth)
    chain.cleargrads()
    loss.backward()
    return reported, {path: chainer.backends.cuda.to_cpu(param.grad) for path, param in model.namedparams()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients_are_torchvisions(theirs, dtype):
    """Also those of the CPU in float64.

    In float64 closely; in float32 a rounding error may turn over a suppression, and so change the sample, or a ReLU.
    """
    slim, weights, truth, expected = theirs
    prefix = f"torch.{dtype} "
    with chainer.using_config("dtype", np.dtype(dtype)):
        reported, grads = _step(slim, _build(slim, weights, "@cupy:0"), truth)
    with chainer.using_config("dtype", np.dtype(np.float64)):
        on_the_cpu, grads_of_the_cpu = _step(slim, _build(slim, weights, "@numpy"), truth)
    losses = {
        f"loss/{ours}": float(expected[prefix + name]) for name, ours in LOSSES.items() if prefix + name in expected
    }
    tolerance = {"float32": 0.05, "float64": 1e-5}[dtype]
    assert reported == pytest.approx({**losses, "loss": sum(losses.values())}, rel=tolerance)
    assert reported == pytest.approx(on_the_cpu, rel=tolerance)
    theirs = {path: find_parameter(expected, f"{prefix}grad ", path) for path in grads}
    for reference in (theirs, grads_of_the_cpu):
        ours, other = (np.concatenate([grad.ravel() for grad in arrays.values()]) for arrays in (grads, reference))
        assert np.linalg.norm(ours - other) < tolerance * np.linalg.norm(other)


def test_detections_are_torchvisions(theirs):
    """In float64, and in float32 most of them."""
    slim, weights, (imgs, *_), expected = theirs
    for dtype, share in (("float64", 1), ("float32", 0.8)):
        with chainer.using_config("dtype", np.dtype(dtype)):
            detections = _build(slim, weights, "@cupy:0").detect(imgs)
        for i, found in enumerate(detections):
            bbox, score, label = (expected[f"torch.{dtype} {name}{i}"] for name in ("boxes", "scores", "labels"))
            bbox, score, label = (values[label > 0] for values in (bbox, score, label))  # ours name no background
            assert len(bbox) > 0
            same = (
                (np.abs(found.bbox[:, None] - bbox[:, [1, 0, 3, 2]]).max(axis=2) < 0.01)
                & (np.abs(found.score[:, None] - score) < 1e-3)
                & (found.label[:, None] + 1 == label)
            )
            assert same.any(axis=0).sum() >= share * len(bbox)
            assert same.any(axis=1).sum() >= share * len(found.bbox)
