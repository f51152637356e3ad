"""Every classifier: torchvision's logits and inner maps, live and as kept; presets; heads; options; half precision."""

import functools

import chainer
import numpy as np
import pytest
from chainer import initializers

from chainfpn import models
from reference import classifier_cases
from reference.classifier_cases import FAMILIES, N_CLASS, N_IMAGE
from reference.seeded_weights import fill_link, seeded_input

BUILDERS = {builder: family for family, (_, _, builders) in FAMILIES.items() for builder in builders}


@pytest.fixture(scope="module")
def theirs(torchvision_live):
    """torchvision's answers, a family at a time."""
    return functools.cache(functools.partial(classifier_cases.theirs, torchvision_live))


@functools.cache  # two tests look at each
def ours(builder, dtype="float32"):
    """Our number of parameters, inner layer and logits."""
    size, layer, _ = FAMILIES[BUILDERS[builder]]
    with chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", False):
        link = build_empty(builder)
        fill_link(link)
        link.pick = (layer, link.layer_names[-1])
        with chainer.no_backprop_mode():
            inner, logits = link(seeded_input(N_IMAGE, 3, *size).astype(dtype))
    return sum(param.size for param in link.params()), inner.array, logits.array


def build_empty(builder):
    """Build without the time that initial values take."""

    def zeros(initializer, shape, xp, dtype=None, device=None):
        return np.zeros(shape, chainer.get_dtype(dtype or getattr(initializer, "dtype", None)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initializers, "generate_array", zeros)
        return getattr(models, builder)(N_CLASS)


def assert_close(array, reference, tolerance):
    """Compare by the largest number there is."""
    assert array.shape == reference.shape
    assert np.abs(array - reference).max() <= tolerance * np.abs(reference).max()


@pytest.mark.parametrize("builder", BUILDERS)
def test_logits_are_those_kept(builder):
    _, _, logits = ours(builder)
    assert_close(logits[0], np.array(classifier_cases.golden()[builder]), 1e-4)


@pytest.mark.parametrize("builder", BUILDERS)
def test_everything_is_torchvisions(theirs, builder):
    answers = theirs(BUILDERS[builder])
    n_param, inner, logits = ours(builder)
    assert n_param == answers[f"{builder} parameters"]
    assert inner.dtype == logits.dtype == np.float32
    assert_close(inner, answers[f"{builder} torch.float32 inner"], 1e-4)
    assert_close(logits, answers[f"{builder} torch.float32 logits"], 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_double_precision_is_torchvisions(theirs, family):
    answers, builder = theirs(family), FAMILIES[family][2][0]
    _, inner, logits = ours(builder, "float64")
    assert inner.dtype == logits.dtype == np.float64
    assert_close(inner, answers[f"{builder} torch.float64 inner"], 1e-10)
    assert_close(logits, answers[f"{builder} torch.float64 logits"], 1e-10)


@pytest.mark.parametrize(
    "builder",
    [*(builders[0] for _, _, builders in FAMILIES.values()), "vgg11", "resnext50_32x4d", "mobilenet_v3_small"],
)
def test_half_precision_is_near(builder):
    """Of each family one, and those whose blocks are others; depth changes nothing."""
    side = {"alexnet": 63, "squeezenet": 65, "inception": 75}.get(BUILDERS[builder], 32)
    x = seeded_input(1, 3, side, side)
    logits = {}
    for dtype in ("float32", "float16", "mixed16"):
        with chainer.using_config("dtype", chainer.mixed16 if dtype == "mixed16" else np.dtype(dtype)):
            link = build_empty(builder)
            fill_link(link)
            with chainer.using_config("train", False), chainer.no_backprop_mode():
                logits[dtype] = link(x.astype(chainer.get_dtype(map_mixed16=np.float16))).array
    for dtype in ("float16", "mixed16"):
        assert logits[dtype].dtype == np.float16
        assert_close(logits[dtype], logits["float32"], 0.01)
