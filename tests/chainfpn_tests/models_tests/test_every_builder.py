"""What holds for every builder there is: independence, no files and no network, and half precision."""

import contextlib
import sys

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.links import Detector
from reference import classifier_cases
from reference.arrays import saved
from reference.classifier_answers import BUILDERS, difference, marked, without_initial_values
from reference.detector_answers import pyramid
from reference.detector_cases import GAINS
from reference.seeded_weights import fill_link, seeded_input
from reference.small_detectors import small_options

#: Quick ones, of all families; the others are larger.
QUICK = {"resnet18", "densenet121", "squeezenet1_1", "googlenet", "mobilenet_v2", "mobilenet_v3_small"}
QUICK |= {"vgg11", "alexnet", "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "swin_t"}
QUICK |= {name for name in models.MODELS if "_resnet_" in name or name == "resnet_fpn_backbone"}
find_mark = lambda name: None if name in QUICK else pytest.mark.thorough  # noqa: E731

#: Sides of the images that are larger than others', for nothing would be left of them.
SIDES = {"alexnet": 63, "squeezenet1_0": 65, "squeezenet1_1": 65, "inception_v3": 75, "ssd300_vgg16": 300}
SIDES["ssdlite320_mobilenet_v3_large"] = 320

#: Of what single precision gives half precision may differ by more than two hundredths where groups are normalized
#: over the few pixels of the coarsest map.
FAR = {"fcos_resnet_fpn": 0.03}

#: What the audit hook below hears of while it listens.
heard, listening = [], []


def listen(event, args):
    """Take down what touches a file or the network."""
    if listening and event.partition(".")[0] in {"open", "os", "socket", "urllib", "subprocess", "shutil"}:
        heard.append((event, args))


sys.addaudithook(listen)


@contextlib.contextmanager
def nothing_touched():
    """Fail if a file or the network is touched inside."""
    heard.clear()
    listening.append(True)
    try:
        yield
    finally:
        listening.clear()
    assert heard == []


def build(name):
    """Build a model, a small one where the builder takes any."""
    small = small_options(name) if "_resnet_" in name else {}
    return models.MODELS[name].builder(**small)


def arrays(link):
    return {key: value for key, value in saved(link).items() if np.ndim(value)}


@pytest.mark.parametrize("name", marked(models.MODELS))
def test_the_second_is_not_the_first_and_nothing_is_touched(name):
    with without_initial_values():
        first = build(name)  # imports what it needs
        with nothing_touched():
            second = build(name)
    parts = {id(part) for part in first.links()}
    assert not any(id(part) in parts for part in second.links())
    before = {key: value.copy() for key, value in arrays(second).items()}
    for link in first.links():
        for leaf in link._params | link._persistent:
            value = getattr(link, leaf)
            value = getattr(value, "array", value)
            if isinstance(value, np.ndarray):
                value[...] = 7
    after = arrays(second)
    assert before.keys() == after.keys() == arrays(first).keys()
    assert all((after[key] == before[key]).all() for key in before)
    if isinstance(first, Detector):
        assert first.preprocess is not second.preprocess
        assert first.meta is not second.meta


def test_the_hook_hears_of_files(tmp_path):
    with pytest.raises(AssertionError), nothing_touched():
        (tmp_path / "file").write_text("")


def outputs(link, x):
    """Run a model, and give its maps and what its heads say."""
    if not isinstance(link, Detector):
        return flat(link(x))
    hs = list(pyramid(link)(x))
    return flat([hs, (link.rpn if hasattr(link, "rpn") else link).head(hs)])


def flat(values):
    """Return the arrays of nested sequences of variables."""
    if isinstance(values, chainer.Variable):
        return [values.array]
    return [array for value in values for array in flat(value)]


#: test_classifiers.py shows it of a classifier of each family, within one hundredth.
find_half_mark = lambda name: pytest.mark.thorough if name in BUILDERS else find_mark(name)  # noqa: E731


@pytest.mark.parametrize("name", marked(models.MODELS, classifier_cases.SMALLEST, mark=find_half_mark))
def test_half_precision_is_near(name):
    """Maps and heads within 2 %, some 3, of the largest number that single precision gives; detections are finite."""
    side = SIDES.get(name, 64 if "_fpn" in name or "retinanet" in name else 32)
    x = seeded_input(1, 3, side, side)
    found = {}
    for dtype in (np.float32, np.float16, chainer.mixed16):
        with chainer.using_config("dtype", dtype), chainer.using_config("train", False), chainer.no_backprop_mode():
            with without_initial_values():
                link = build(name)
            fill_link(link, [*classifier_cases.GAINS.get(BUILDERS.get(name), ()), *GAINS])
            batch = x.astype(chainer.get_dtype(map_mixed16=np.float16))
            found[dtype] = outputs(link, batch)
            assert {array.dtype for array in found[dtype]} == {batch.dtype}
            if isinstance(link, Detector):
                link.score_thresh = 0.01
                if hasattr(link, "rpn"):
                    link.score_thresh, link.rpn.post_nms_top_n_test, link.roi_heads.detections_per_img = -1, 8, 2
                (detection,) = link(batch, [(side, side)])
                assert len(detection.bbox) > 0
                assert all(np.isfinite(value).all() for value in detection if value is not None)
    for dtype in (np.float16, chainer.mixed16):
        for array, reference in zip(found[dtype], found[np.float32], strict=True):
            assert difference(array.astype(np.float32), reference) <= FAR.get(name, 0.02)
