"""Attention within shifted windows: against a loop over pixels, and gradients."""

import chainer
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn.links import SwinTransformer
from chainfpn.links.backbones.shifted_windows import (
    ShiftedWindowAttention,
    ShiftedWindowAttentionV2,
    relative_coordinates,
    relative_index,
    shift_mask,
)

SIDE, HEADS, CHANNELS = 3, 2, 4
RNG = np.random.default_rng(0)


def build(kind, shift):
    """Build an attention with random weights in double precision."""
    with chainer.using_config("dtype", np.dtype("d")):
        link = kind(CHANNELS, HEADS, SIDE, shift)
    for param in link.params():
        param.array[...] = RNG.normal(size=param.shape)
    return link


def softmax(values):
    exps = np.exp(values - values.max())
    return exps / exps.sum()


def by_loop(link, x, shift):
    """Attend, pixel by pixel, to those whose places are in the same window once windows are moved, down and right.

    Windows begin at ``shift``, and the parts of windows at the two ends of an axis are windows of their own.
    """
    qkv = np.einsum("oc,chw->ohw", link.qkv.W.array, x) + link.qkv.b.array[:, None, None]
    if isinstance(link, ShiftedWindowAttentionV2):
        qkv[CHANNELS : 2 * CHANNELS] -= link.qkv.b.array[CHANNELS : 2 * CHANNELS, None, None]
    q, k, v = qkv.reshape(3, HEADS, CHANNELS // HEADS, *x.shape[1:])
    bias, (height, width) = link.position_bias().array, x.shape[1:]
    places = [(i, j) for i in range(height) for j in range(width)]
    windows = {p: tuple((n - s) // SIDE for n, s in zip(p, shift, strict=True)) for p in places}
    y = np.zeros((CHANNELS, height, width))
    for p in places:
        near = [o for o in places if windows[o] == windows[p]]
        for head in range(HEADS):
            here, logits = [(n - s) % SIDE for n, s in zip(p, shift, strict=True)], []  # where it is in its window
            for o in near:
                there = [(n - s) % SIDE for n, s in zip(o, shift, strict=True)]
                a, b = q[head, :, p[0], p[1]], k[head, :, o[0], o[1]]
                logit = a @ b / np.sqrt(len(a))
                if isinstance(link, ShiftedWindowAttentionV2):
                    scale = np.exp(min(link.logit_scale.array[head, 0, 0], np.log(100)))
                    logit = a @ b / np.linalg.norm(a) / np.linalg.norm(b) * scale
                logits.append(logit + bias[head, here[0] * SIDE + here[1], there[0] * SIDE + there[1]])
            weights = softmax(np.array(logits))
            rows = slice(head * CHANNELS // HEADS, (head + 1) * CHANNELS // HEADS)
            y[rows, p[0], p[1]] = sum(w * v[head, :, o[0], o[1]] for w, o in zip(weights, near, strict=True))
    return np.einsum("oc,chw->ohw", link.proj.W.array, y) + link.proj.b.array[:, None, None]


@pytest.mark.parametrize(
    ("shift", "down", "shifts"), [(0, 2, (0, 0)), (1, 2, (1, 1)), (1, 1, (0, 1))], ids=["not", "both", "to the right"]
)
@pytest.mark.parametrize("kind", [ShiftedWindowAttention, ShiftedWindowAttentionV2])
def test_pixels_attend_within_their_windows(kind, shift, down, shifts):
    link, x = build(kind, shift), RNG.normal(size=(2, CHANNELS, down * SIDE, 3 * SIDE))
    y = link(x).array
    for image, expected in zip(y, (by_loop(link, image, shifts) for image in x), strict=True):
        np.testing.assert_allclose(image, expected, atol=1e-9)


@pytest.mark.parametrize("kind", [ShiftedWindowAttention, ShiftedWindowAttentionV2])
def test_one_window_is_not_shifted(kind):
    x = RNG.normal(size=(1, CHANNELS, SIDE, SIDE))
    link = build(kind, 1)
    shifted = link(x).array
    link.shift = 0
    np.testing.assert_array_equal(link(x).array, shifted)


@pytest.mark.parametrize("kind", [ShiftedWindowAttention, ShiftedWindowAttentionV2])
def test_gradients(kind):
    link, x = build(kind, 1), RNG.normal(size=(1, CHANNELS, 4, 5))  # padded to 6 x 6
    gradient_check.check_backward(link, x, RNG.normal(size=x.shape), dtype="d", atol=1e-4, rtol=1e-3)
    link.cleargrads()
    y = link(x)
    y.grad = np.ones_like(x)
    y.backward()
    for name, param in link.namedparams():
        assert np.isfinite(param.grad).all(), name
        assert param.grad.any(), name


def test_offsets_by_hand():
    index = relative_index(2).reshape(4, 4)
    np.testing.assert_array_equal(index[0], [4, 3, 1, 0])  # of the upper left pixel: itself, right, below, both
    assert (np.diag(index) == 4).all()
    table = relative_coordinates(3)
    assert (table.shape, table.dtype) == ((1, 5, 5, 2), np.float32)
    expected = np.array([-np.log2(9), -np.log2(5), 0, np.log2(5), np.log2(9)]) / 3
    np.testing.assert_allclose(table[0, 0, :, 1], expected, rtol=1e-6)


def test_the_mask_parts_what_only_the_roll_brought_together():
    mask = shift_mask((6, 6), 3, (1, 1), "f", "@numpy")
    assert (mask.shape, mask.dtype) == ((4, 1, 9, 9), np.float32)
    assert not mask[0].any()
    right = mask[1, 0, 0].reshape(3, 3)  # what the upper left pixel of the upper right window sees
    np.testing.assert_array_equal(right, [[0, 0, -100]] * 3)


@pytest.mark.parametrize("v2", [False, True])
def test_a_step_of_training_reaches_every_weight(v2):
    link = SwinTransformer(4, (1, 2, 1, 1), (1, 2, 2, 2), 3, 5, v2=v2, stochastic_depth_prob=0.0)
    for param in link.params():
        param.array[...] = RNG.normal(0, 0.5, size=param.shape)
    with chainer.using_config("train", True):
        logits = link(RNG.normal(size=(2, 3, 65, 52)).astype("f"))
        loss = chainer.functions.softmax_cross_entropy(logits, np.array([1, 3]))
    link.cleargrads()
    loss.backward()
    for name, param in link.namedparams():
        assert np.isfinite(param.grad).all(), name
        assert param.grad.any(), name
