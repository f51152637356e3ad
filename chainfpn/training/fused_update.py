"""The updates of all parameters at once: on a GPU a kernel or two, on a CPU one compiled pass over memory."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.optimizer_hooks import WeightDecay
from chainer.optimizers.adam import AdamRule
from chainer.optimizers.momentum_sgd import MomentumSGDRule

from chainfpn.functions.kernels import import_compiled
from chainfpn.training._many_arrays import THREADS, cut_together
from chainfpn.training.gradient_clipping import GradientClipping


class _Rule(NamedTuple):
    """How a rule of Chainer changes ``param`` and its states ``s0``, ``s1`` by the gradient ``g``.

    The statements are those of Chainer's kernel in their order, so that results are the same; on a CPU those of
    ``numba_update``, for which ``compiled`` gives the kernel's name and its numbers.
    """

    states: tuple[str, ...]
    names: tuple[str, ...]
    values: Callable[[Any, Any], tuple[float, ...]]
    statements: str
    compiled: Callable[..., tuple]


#: What can be fused.
RULES = {
    MomentumSGDRule: _Rule(
        ("v",),
        ("lr", "momentum"),
        lambda rule, h: (h.lr, h.momentum),
        "s0 = momentum * s0 - lr * g; param += s0;",
        lambda *numbers: ("momentum", numbers),
    ),
    AdamRule: _Rule(
        ("m", "v"),
        ("alpha_t", "share1", "share2", "eps", "eta", "rate"),
        lambda rule, h: (rule.alpha_t, 1 - h.beta1, 1 - h.beta2, h.eps, h.eta, h.weight_decay_rate),
        """s0 += share1 * (g - s0);
        s1 += share2 * (g * g - s1);
        param -= eta * (alpha_t * s0 / (sqrt(s1) + eps) + rate * param);""",
        lambda *numbers: ("adam", (*numbers[:-1], 1 - numbers[-2] * numbers[-1])),
    ),
}


#: In place of the number of a GPU.
HOST = -1


def fuse_updates(optimizer: chainer.Optimizer) -> None:
    """Let an optimizer update all parameters on a GPU by a kernel or two, on a CPU in one pass by Numba.

    Results are Chainer's. What is fused: momentum SGD and Adam (also AdamW, but no bounded variant), with
    one ``WeightDecay`` as the last hook of the optimizer, or as the only one of a parameter's rule, the scale of the
    loss, and on a GPU float32 copies of float16 parameters. Every other parameter, rule and hook goes Chainer's way;
    so does everything without Numba, and the first update of a parameter. Gradients stay as they are: a decay is not
    added there.

    Args:
        optimizer (chainer.Optimizer): An optimizer by gradients, set up or not.

    Example:
        >>> optimizer = chainer.optimizers.MomentumSGD(0.01)
        >>> fuse_updates(optimizer)
    """
    optimizer.update = functools.partial(_update, optimizer)


def _update(optimizer, lossfun=None, *args, **kwds):
    """Update as Chainer's ``GradientMethod.update``."""
    target = optimizer.target
    on_cpu = target is not None and target.xp is np and import_compiled("numba_update") is not None
    if not on_cpu and (target is None or target.xp is not cuda.cupy):
        type(optimizer).update(optimizer, lossfun, *args, **kwds)
        return
    if lossfun is not None:
        loss = lossfun(*args, **kwds)
        target.cleargrads()
        loss.backward(loss_scale=optimizer._loss_scale)
        del loss
    hooks = list(optimizer._hookable._pre_update_hooks.values())
    decay = hooks.pop() if hooks and type(hooks[-1]) is WeightDecay else None
    ours = all(type(hook) is GradientClipping for hook in hooks)  # which do without gradients of zeros
    if optimizer._loss_scaling_is_dynamic or not ours:
        optimizer.reallocate_cleared_grads()
    optimizer.check_nan_in_grads()
    for hook in hooks:
        if ours:
            hook(optimizer)
        else:
            optimizer.call_hook(hook)
    optimizer.t += 1
    if optimizer.is_safe_to_update():
        _update_all(target, decay)
    optimizer.call_hooks("post")
    optimizer.update_loss_scale()


def _update_all(target, decay):
    """Update the parameters: those with the same numbers in one kernel, the others Chainer's way."""
    groups: dict = {}
    for param in target.params():
        rule = param.update_rule
        if rule is None or not rule.enabled:
            continue
        found = _find(param, rule)
        if found is None:
            if param.grad is None and param.array is not None:
                param.grad = param.xp.zeros_like(param.array)
            if decay is not None:
                decay(rule, param)
            param.update()
            continue
        rule.t += 1
        late, place, arrays = found
        scale = param._loss_scale or 1.0
        early = 0.0 if decay is None else decay.rate * scale
        numbers = early, scale, late, *RULES[type(rule)].values(rule, rule.hyperparam)
        groups.setdefault((type(rule), arrays[0].dtype, arrays[2].dtype, place, numbers), []).append(arrays)
    for (kind, _, _, place, numbers), members in groups.items():
        if place == HOST:
            _run(RULES[kind], members, numbers)
            continue
        with cuda.get_device_from_id(place):
            _launch(RULES[kind], list(zip(*members, strict=True)), numbers)


def _find(param, rule):
    """Return the decay by the rule's hook, a device, and arrays there: gradient, parameter, what is updated, states.

    What is updated is the parameter, or its float32 copy. Return None where Chainer has to do it.
    """
    kind, pre = RULES.get(type(rule)), rule._hookable._pre_update_hooks
    if kind is None or not rule.state or rule._hookable._post_update_hooks or getattr(rule.hyperparam, "adabound", 0):
        return None
    if pre and [type(hook) for hook in pre.values()] != [WeightDecay]:
        return None
    updated = rule._fp32_param if rule._use_fp32_update and param.dtype == np.float16 else param
    if updated is None or rule.state.keys() != set(kind.states):
        return None
    grad = param.xp.zeros_like(param.array) if param.grad is None else param.grad
    arrays = [grad, param.array, updated.array, *(rule.state[name] for name in kind.states)]
    place, *others = {_place(a) for a in arrays}
    if others or place is None:
        return None
    if arrays[2].dtype.char not in "fd" or len({a.dtype for a in arrays[0 if place == HOST else 2 :]}) > 1:
        return None
    return sum([hook.rate * (updated._loss_scale or 1.0) for hook in pre.values()], 0.0), place, arrays


def _place(array):
    """Return the number of an array's GPU, or HOST; None for an array with gaps, or of another kind."""
    if not isinstance(array, np.ndarray | cuda.ndarray) or not array.flags.c_contiguous:
        return None
    return array.data.device_id if isinstance(array, cuda.ndarray) else HOST


def _run(kind, members, numbers):
    """Run a compiled kernel over lists of arrays, as ``_launch`` does."""
    compiled = import_compiled("numba_update")
    name, rest = kind.compiled(*numbers[3:])
    compiled.update(getattr(compiled, name), [[grad, *changed] for grad, _, *changed in members], [*numbers[:3], *rest])


def _launch(kind, arrays, numbers):
    """Run one kernel over lists of arrays: gradients, parameters, what is updated, and each state."""
    table = cut_together(*arrays)
    n_lists, n_chunks = len(arrays), table.shape[1]
    names = "param", *(f"s{k}" for k in range(len(kind.states)))
    scalars = "".join(f", T {name}" for name in ("scale", "late", *kind.names))
    pointers = "".join(f"T* {name}s = (T*)table[{k} * n_chunks + chunk];\n" for k, name in enumerate(names, 2))
    operation = f"""
    const long long chunk = i / {THREADS}, length = table[{n_lists} * n_chunks + chunk];
    const G* grads = (const G*)table[chunk];
    G* models = (G*)table[n_chunks + chunk];
    {pointers}
    for (long long j = i % {THREADS}; j < length; j += {THREADS}) {{
        G sum = grads[j];
        if ((T)early != 0) sum += early * models[j];
        {" ".join(f"T {name} = {name}s[j];" for name in names)}
        T g = sum;
        g /= scale;
        if (late != 0) g += late * param;
        {kind.statements}
        {" ".join(f"{name}s[j] = {name};" for name in names)}
        if (copies) models[j] = param;
    }}
    """
    inputs = f"raw G grad, raw T first, int64 n_chunks, bool copies, G early{scalars}"
    kernel = cuda.elementwise(inputs, "raw int64 table", operation, "fused_update")
    is_copied = arrays[1][0] is not arrays[2][0]
    kernel(arrays[0][0], arrays[2][0], n_chunks, is_copied, *numbers, table, size=n_chunks * THREADS)
