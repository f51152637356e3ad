"""Updates in one kernel are those of Chainer's rules; what is not fused goes Chainer's way."""

import chainer
import chainer.links as L
import numpy as np
import pytest
from chainer import optimizer_hooks, optimizers

from chainfpn.training import GradientClipping, fuse_updates, fused_update, use_mixed_precision
from reference import fake_cupy

OPTIMIZERS = {
    "momentum": lambda: optimizers.MomentumSGD(0.1),
    "adam": lambda: optimizers.Adam(0.01),
    "adamw": lambda: optimizers.Adam(0.01, eta=0.5, weight_decay_rate=0.02),
    "amsgrad": lambda: optimizers.AMSGrad(0.01),
    "adabound": lambda: optimizers.AdaBound(0.01),
    "plain": lambda: optimizers.SGD(0.1),
}


def _by_clipping_and_decay(optimizer):
    optimizer.add_hook(GradientClipping(1))
    optimizer.add_hook(optimizer_hooks.WeightDecay(0.01))


def _by_decay_first(optimizer):
    optimizer.add_hook(optimizer_hooks.WeightDecay(0.01))
    optimizer.add_hook(optimizer_hooks.GradientClipping(1))
    optimizer.add_hook(lambda optimizer: None, "last", timing="post")


def _by_the_rules_of_some(optimizer):
    optimizer.target[0].W.update_rule.add_hook(optimizer_hooks.WeightDecay(0.01))
    optimizer.target[0].b.update_rule.hyperparam.lr = optimizer.target[0].b.update_rule.hyperparam.alpha = 0.03
    optimizer.target[1].W.update_rule.add_hook(optimizer_hooks.Lasso(0.01))
    optimizer.target[2].b.update_rule.enabled = False


HOOKS = {
    "none": lambda optimizer: None,
    "clipping and decay": _by_clipping_and_decay,
    "decay first": _by_decay_first,
    "rules": _by_the_rules_of_some,
}


def _train(make, add_hooks, device, *, fused, dtype, scale, n_steps=4):
    """Update the weights of three links by given gradients; return arrays and states, and what the rules counted."""
    random = np.random.default_rng(0)
    with chainer.using_config("dtype", dtype):
        chain = chainer.ChainList(L.Linear(300, 60), L.Linear(7, 5), L.Bias(shape=(3,)))
    for param in chain.params():
        param.array[...] = random.normal(size=param.shape)
    chain.to_device(device)
    optimizer = make()
    if fused:
        fuse_updates(optimizer)
    if scale == "dynamic":
        use_mixed_precision(optimizer)
    elif scale:
        optimizer.loss_scaling(scale=scale)
    optimizer.setup(chain)
    add_hooks(optimizer)
    for step in range(n_steps):
        for i, param in enumerate(chain.params()):
            grad = random.normal(size=param.shape).astype(param.dtype)
            param.grad = None if (step, i) == (2, 2) else param.xp.asarray(grad)
            param._loss_scale = optimizer._loss_scale
        optimizer.update()
    rules = [param.update_rule for param in chain.params()]
    states = [state for rule in rules for _, state in sorted((rule.state or {}).items())]
    arrays = [chainer.backends.cuda.to_cpu(a) for a in (*[param.array for param in chain.params()], *states)]
    return arrays, [rule.t for rule in rules], optimizer


def _assert_as_chainer(device, make, add_hooks, dtype=np.float32, scale=None):
    given = {"device": device, "dtype": dtype, "scale": scale}
    arrays, t, optimizer = _train(make, add_hooks, fused=True, **given)
    expected, expected_t, unfused = _train(make, add_hooks, fused=False, **given)
    assert t == expected_t
    assert (optimizer.t, optimizer._loss_scale) == (unfused.t, unfused._loss_scale)
    for array, other in zip(arrays, expected, strict=True):
        assert array.dtype == other.dtype
        # another kernel may be compiled to other fused multiplications and additions
        rtol = 0 if device == "@numpy" or fake_cupy.is_installed() else 2e-3 if dtype == np.float16 else 1e-5
        np.testing.assert_allclose(array, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("hooks", HOOKS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bits_on_a_cpu_are_chainers(name, hooks):
    _assert_as_chainer("@numpy", OPTIMIZERS[name], HOOKS[hooks])


@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, None), (np.float32, 8), (np.float16, 8)])
def test_bits_on_a_cpu_of_other_dtypes_and_scales(dtype, scale):
    _assert_as_chainer("@numpy", OPTIMIZERS["momentum"], HOOKS["rules"], dtype, scale)


def test_a_cpu_without_numba_keeps_to_chainers_way(monkeypatch):
    monkeypatch.setattr(fused_update, "import_compiled", lambda name: None)
    monkeypatch.setattr(fused_update, "_update_all", None)
    _assert_as_chainer("@numpy", OPTIMIZERS["momentum"], _by_clipping_and_decay)


@pytest.mark.gpu
@pytest.mark.parametrize("hooks", HOOKS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_results_are_chainers(name, hooks):
    _assert_as_chainer("@cupy:0", OPTIMIZERS[name], HOOKS[hooks])


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, None), (np.float32, 8), (np.float16, 8)])
@pytest.mark.parametrize("hooks", ["clipping and decay", "rules"])
def test_results_of_other_dtypes_and_scales(hooks, dtype, scale):
    _assert_as_chainer("@cupy:0", OPTIMIZERS["momentum"], HOOKS[hooks], dtype, scale)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["momentum", "adamw"])
@pytest.mark.parametrize("hooks", ["clipping and decay", "rules"])
def test_results_of_mixed_precision(name, hooks):
    _assert_as_chainer("@cupy:0", OPTIMIZERS[name], HOOKS[hooks], np.float16, "dynamic")
