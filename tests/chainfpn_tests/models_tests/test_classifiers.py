"""Every classifier: torchvision's logits and inner maps, live and as kept, in single, double and half precision."""

import functools

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.models._weights import Weights
from reference import classifier_cases
from reference.arrays import saved
from reference.classifier_answers import BUILDERS, build_seeded, difference, marked, ours, without_initial_values
from reference.classifier_cases import DOUBLE, FAMILIES, N_CLASS, N_IMAGE, SMALLEST, together
from reference.photographs import photographs
from reference.seeded_weights import seeded_input

#: A portrait and a landscape of odd sizes.
PHOTOGRAPHS = (photographs()["portrait"][:, :499], photographs()["small"])


#: Families that call no functions on a GPU but those that others call.
LIKE_OTHERS = {"regnet_x", "efficientnet_v2", "swin"}

#: The first builder of each family.
FIRST = [builders[0] for _, _, builders in FAMILIES.values()]


@pytest.fixture(scope="module")
def theirs(torchvision_live):
    """torchvision's answers, for builders that are asked for together."""
    pixels = [img.transpose(1, 2, 0).astype(np.uint8) for img in PHOTOGRAPHS]
    return functools.cache(functools.partial(classifier_cases.theirs, torchvision_live, photographs=pixels))


@pytest.mark.parametrize("builder", marked(BUILDERS))
def test_logits_are_those_kept(builder):
    _, _, logits = ours(builder)
    assert difference(logits[0], np.array(classifier_cases.golden()[builder])) <= 1e-4


@pytest.mark.parametrize("builder", marked(BUILDERS))
def test_everything_is_torchvisions(theirs, builder):
    answers = theirs(together(builder))
    n_param, inner, logits = ours(builder)
    assert n_param == answers[f"{builder} parameters"]
    assert inner.dtype == logits.dtype == np.float32
    assert difference(inner, answers[f"{builder} torch.float32 inner"]) <= 1e-4
    assert difference(logits, answers[f"{builder} torch.float32 logits"]) <= 1e-4


@pytest.mark.parametrize("builder", marked(name for name in BUILDERS if name in DOUBLE))
def test_double_precision_is_torchvisions(theirs, builder):
    answers = theirs(together(builder))
    _, inner, logits = ours(builder, "float64")
    assert inner.dtype == logits.dtype == np.float64
    assert difference(inner, answers[f"{builder} torch.float64 inner"]) <= 1e-10
    assert difference(logits, answers[f"{builder} torch.float64 logits"]) <= 1e-10


def build_published(builder):
    """Build a classifier of seeded weights that are said to be torchvision's first published file."""
    arrays = {name: array for name, array in saved(build_seeded(builder)).items() if np.ndim(array)}
    sha256 = models.list_weights(builder)["IMAGENET1K_V1"].sha256.ljust(64, "0")
    meta = {"source": {"sha256": sha256}, "label_names": list(map(str, range(N_CLASS)))}
    with without_initial_values():
        return getattr(models, builder)(pretrained_model=Weights(arrays, meta, "seeded.npz"))


@pytest.mark.parametrize("builder", FIRST)
def test_photographs_get_torchvisions_probabilities(theirs, builder):
    """From the pixels on, as the published file wants: resized, cut out, normalized, classified, into probabilities."""
    expected = theirs(together(builder))[f"{builder} scores"]
    scores = build_published(builder).predict(PHOTOGRAPHS)
    error = difference(np.stack(scores), expected)
    assert error <= 1e-4
    assert error <= 0.01 * difference(expected[0], expected[1])  # for another image changes some networks' but little


@pytest.mark.parametrize(
    "builder",
    marked([*FIRST, "resnext50_32x4d", "mobilenet_v3_small"], SMALLEST),
)
def test_half_precision_is_near(builder):
    """Of each family one, and those whose blocks are others; depth changes nothing."""
    side = {"alexnet": 63, "squeezenet": 65, "inception": 75}.get(BUILDERS[builder], 32)
    x = seeded_input(1, 3, side, side)
    logits = {}
    for dtype in ("float32", "float16", "mixed16"):
        with chainer.using_config("dtype", chainer.mixed16 if dtype == "mixed16" else np.dtype(dtype)):
            link = build_seeded(builder)
            with chainer.using_config("train", False), chainer.no_backprop_mode():
                logits[dtype] = link(x.astype(chainer.get_dtype(map_mixed16=np.float16))).array
    for dtype in ("float16", "mixed16"):
        assert logits[dtype].dtype == np.float16
        assert difference(logits[dtype], logits["float32"]) <= 0.01


@pytest.mark.gpu
@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=pytest.mark.thorough) if name in LIKE_OTHERS else name for name in FAMILIES],
)
def test_the_gpu_agrees(family):
    size, _, builders = FAMILIES[family]
    _, _, expected = ours(builders[0])
    link = build_seeded(builders[0])
    link.to_device("@cupy:0")
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        logits = link(link.xp.asarray(seeded_input(N_IMAGE, 3, *size)))
    assert difference(chainer.backends.cuda.to_cpu(logits.array), expected) <= 1e-3
