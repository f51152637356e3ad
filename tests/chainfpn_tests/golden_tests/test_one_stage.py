"""RetinaNet and FCOS of detectron2 and mmdetection: the same numbers stage by stage, and the same detections."""

import numpy as np
import pytest

from golden import compare
from golden.build import as_maps, build, convert, inference
from golden.model import GoldenModel, names

pytestmark = pytest.mark.slow  # whole networks, all of them together

#: Distances of mmdetection's FCOS are float32 numbers, and it scales them as such.
TOLERANCES = {"distances_after_exp": compare.AFTER_FLOAT32}

#: What another stands for: of mmdetection's RetinaNets the one whose sides 64 does not divide runs every time.
OTHERS = ("mmdetection/small_retinanet_r18_fpn",)


def cases():
    for full, marks in ((False, ()), (True, pytest.mark.exhaustive)):
        for name in names(full=full):
            if "retinanet" in name or "fcos" in name:
                yield pytest.param(name, marks=pytest.mark.thorough if name in OTHERS else marks)


@pytest.fixture(scope="module", params=list(cases()))
def converted(request, tmp_path_factory):
    """Return a model and its weights here."""
    model = GoldenModel(request.param)
    return model, convert(model, tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def exact(converted):
    """Return the model and our detector in float64."""
    return converted[0], build(*converted)


@pytest.mark.parametrize("photos", [slice(1), pytest.param(slice(1, None), marks=pytest.mark.thorough)])
def test_every_stage_and_detection_is_the_frameworks(exact, photos):
    model, ours = exact
    if not model.photos[photos]:
        pytest.skip("there is one photograph")
    for photo in model.photos[photos]:
        with inference():
            check_stages(model, ours, photo)
            (found,) = ours.detect([model.image(photo)])
        n = model.facts[photo]["n_detections"]
        assert len(found) == n
        assert compare.count_matched(model, photo, found) == n


def check_stages(model, ours, photo):
    """Compare the batch, the pyramid, what the head predicts, and the anchors."""
    x, sizes = ours.prepare([model.image(photo)])
    assert [list(size) for size in sizes] == [model.facts[photo]["resized_size"]]
    compare.check_input(model, photo, x)
    hs = ours.backbone(x)
    compare.check_maps(model, photo, "feature", [h.array for h in hs])
    kinds = ("logits", "distances_after_exp", "centerness_logits") if "fcos" in model.name else ("logits", "deltas")
    for kind, levels in zip(kinds, ours.head(hs), strict=True):
        compare.check_maps(model, photo, kind, as_maps(levels, hs), TOLERANCES.get(kind, compare.BEFORE_FLOAT32))
    compare.check_anchors(model, photo, ours.anchor_generator([h.shape[2:] for h in hs], x.shape[2:], np))


def test_in_float32_as_many_are_found_as_the_framework_finds(converted):
    """Within half a pixel and a thousandth of score."""
    model, ours = converted[0], build(*converted, "float32")
    for photo in model.photos:
        (found,) = ours.detect([model.image(photo)])
        n = compare.count_matched(model, photo, found, pixels=0.5, score=1e-3)
        assert n >= model.facts[photo]["matched_by_its_own_float32"]
