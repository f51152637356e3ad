"""What detectors do on a GPU is what they do on the CPU: predict, train, in mixed precision, evaluate, save and load.

In float64, where no rounding turns a suppression or a ReLU over.
"""

import types

import chainer
import numpy as np
import pytest
from chainer import optimizer_hooks, optimizers
from chainer.backends import cuda

import chainfpn
from chainfpn import models
from chainfpn.datasets import ShapesDataset
from chainfpn.training import GradientClipping, use_mixed_precision
from chainfpn.training.evaluator import evaluate
from reference.slim_detectors import SLIM, Slim, marks, pictures, reported_by
from reference.training import train_chain

pytestmark = pytest.mark.gpu

FRESH = types.SimpleNamespace(load_into=lambda link: link)

#: Slim detectors: those that torchvision has, and a cascade.
_CASCADE = {**SLIM["faster_rcnn"].options, "n_mask_heads": 2, "mask_layers": (16,), "mask_dim_reduced": 16}
SLIM = SLIM | {
    "cascade_mask_rcnn": Slim(
        models.cascade_mask_rcnn_resnet_fpn, _CASCADE, "", "", {"box_batch_size_per_image": 40}, ("mask",)
    )
}

#: Of what is summed in another order, or by the CPU in float32: the norm of the gradients.
TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def precision():
    with chainer.using_config("dtype", np.dtype(np.float64)):
        yield


def _build(name):
    """Build a slim detector with the same weights each time, and its ground truth."""
    slim = SLIM[name]
    np.random.seed(0)
    weights = {"pretrained_model": FRESH} if slim.builder.__name__.startswith("slim") else {}
    model = slim.builder(**slim.options, **weights)
    model.score_thresh = 0.0
    truth = pictures()
    return model, (*truth, *(values for key, values in marks(*truth[:2]).items() if key in slim.others))


def _set_up(name, device):
    model, truth = _build(name)
    slim = SLIM[name]
    chain = train_chain(model, **slim.training, **({"permutation": np.arange} if hasattr(model, "rpn") else {}))
    chain.to_device(device)
    optimizer = optimizers.MomentumSGD(0.01).setup(chain)
    optimizer.add_hook(GradientClipping(0.5))
    optimizer.add_hook(optimizer_hooks.WeightDecay(1e-4))
    return chain, optimizer, truth


def _on_the_host(link):
    return {path: cuda.to_cpu(param.array) for path, param in link.namedparams()}


@pytest.mark.parametrize("name", SLIM)
def test_detections_are_the_cpus(name):
    model, (imgs, *_) = _build(name)
    expected = model.detect(imgs)
    model.to_device("@cupy:0")
    for here, there in zip(model.detect(imgs), expected, strict=True):
        assert len(there.bbox) > 2
        for field in model.fields:
            values, reference = getattr(here, field), getattr(there, field)
            assert type(values) is np.ndarray
            assert values.dtype == reference.dtype
            if reference.dtype.kind == "f":
                np.testing.assert_allclose(values, reference, rtol=1e-6, atol=1e-5, err_msg=field)
            else:
                np.testing.assert_array_equal(values, reference, err_msg=field)


@pytest.mark.parametrize("name", SLIM)
def test_two_training_steps_are_the_cpus(name):
    results = []
    for device in ("@numpy", "@cupy:0"):
        chain, optimizer, truth = _set_up(name, device)
        _, reported = reported_by(chain, truth)
        for _ in range(2):
            optimizer.update(chain, *truth)
        results.append((reported, _on_the_host(chain)))
    (expected, weights), (found, weights_there) = results
    assert found == pytest.approx(expected, rel=TOLERANCE)
    for path, array in weights.items():
        atol = TOLERANCE * np.abs(array).max() + 1e-15
        np.testing.assert_allclose(weights_there[path], array, rtol=0, atol=atol, err_msg=path)


@pytest.mark.parametrize("name", SLIM)
def test_a_step_in_mixed_precision(name):
    """Losses as in float64, about; the scale of the loss is found, and the weights move."""
    _, expected = reported_by(*_set_up(name, "@cupy:0")[::2])
    with chainer.using_config("dtype", chainer.mixed16):
        chain, optimizer, truth = _set_up(name, "@cupy:0")
        use_mixed_precision(optimizer)
        before = _on_the_host(chain)
        _, reported = reported_by(chain, truth)
        optimizer.update(chain, *truth)
    assert {array.dtype for array in before.values() if array.ndim > 1} == {np.dtype(np.float16)}  # norms keep float32
    assert reported["loss"] == pytest.approx(expected["loss"], rel=0.05)
    after = _on_the_host(chain)
    assert all(np.isfinite(array).all() for array in after.values())
    assert any((after[path] != array).any() for path, array in before.items())


@pytest.mark.parametrize("name", SLIM)
def test_clipping_is_the_cpus(name):
    norms = []
    for device in ("@numpy", "@cupy:0"):
        chain, optimizer, truth = _set_up(name, device)
        chain.cleargrads()
        chain(*truth).backward()
        GradientClipping(1e-3)(optimizer)
        grads = [cuda.to_cpu(param.grad) for param in chain.params() if param.grad is not None]
        norms.append(np.sqrt(sum((grad**2).sum() for grad in grads)))
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-6)


def test_a_gradient_that_is_not_finite_is_found():
    chain, optimizer, truth = _set_up("faster_rcnn", "@cupy:0")
    chain.cleargrads()
    chain(*truth).backward()
    chain.model.rpn.head.conv.b.grad[0] = np.nan
    with pytest.raises(
        FloatingPointError, match=r"^GradientClipping: the norm of the gradients must be finite, got nan"
    ):
        GradientClipping(1)(optimizer)


@pytest.mark.parametrize("name", SLIM)
def test_weights_and_optimizers_are_saved_and_loaded(name, tmp_path):
    """A step after loading is the step that would have followed."""
    with chainer.using_config("cudnn_deterministic", True):
        chain, optimizer, truth = _set_up(name, "@cupy:0")
        optimizer.update(chain, *truth)
        chainfpn.save_weights(tmp_path / "weights.npz", chain.model)
        chainer.serializers.save_npz(tmp_path / "optimizer.npz", optimizer)
        optimizer.update(chain, *truth)
        later, resumed, _ = _set_up(name, "@cupy:0")
        chainfpn.load_weights(tmp_path / "weights.npz", later.model)
        chainer.serializers.load_npz(tmp_path / "optimizer.npz", resumed)
        resumed.update(later, *truth)
    for path, array in _on_the_host(chain).items():
        np.testing.assert_array_equal(_on_the_host(later)[path], array, err_msg=path)


@pytest.mark.parametrize("name", SLIM)
def test_figures_of_the_evaluator_are_the_cpus(name):
    data, figures = ShapesDataset(4, 64), []
    for device in ("@numpy", "@cupy:0"):
        model, _ = _build(name)
        model.to_device(device)
        figures.append(evaluate(model, data).voc())
    assert figures[1] == pytest.approx(figures[0], nan_ok=True)
