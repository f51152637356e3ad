"""What a detector is beside its weights: every number that torchvision's builders choose."""

import numpy as np

from chainfpn import models
from chainfpn.links.detectors.roi_heads import BRANCH_OUTSIZE
from reference.classifier_answers import without_initial_values
from reference.detector_cases import CASES, HERE

#: torchvision's settings, by the names that ``ours`` gives them.
CODE = """
import sys
sys.path.insert(0, str(folder))
from seeded_weights import skip_initial_values

def settings(model):
    transform = model.transform
    fixed = transform.fixed_size
    yield "input", [transform.size_divisible, *transform.image_mean, *transform.image_std]
    yield "size at test", fixed[::-1] if fixed else [transform.min_size[-1], transform.max_size]
    if not hasattr(model, "rpn"):
        yield "thresholds", [model.score_thresh, model.nms_thresh]
        yield "counts", [model.topk_candidates, model.detections_per_img]
        return
    rpn, heads = model.rpn, model.roi_heads
    yield "proposals at test", [rpn._pre_nms_top_n["testing"], rpn._post_nms_top_n["testing"]]
    yield "proposals in training", [rpn._pre_nms_top_n["training"], rpn._post_nms_top_n["training"]]
    yield "thresholds of proposals", [rpn.score_thresh, rpn.nms_thresh, rpn.min_size]
    yield "thresholds", [heads.score_thresh, heads.nms_thresh]
    yield "counts", [heads.detections_per_img]
    yield "coders", [*rpn.box_coder.weights, *heads.box_coder.weights]
    for name in ("box", "mask", "keypoint"):
        pool = getattr(heads, f"{name}_roi_pool")
        if pool is not None:
            yield f"{name} pooling", [*pool.output_size, pool.sampling_ratio]

skip_initial_values()
for builder in map(str, inputs["builders"]):
    model = getattr(torchvision.models.detection, builder)(weights=None, weights_backbone=None)
    for name, values in settings(model):
        outputs[f"{builder}: {name}"] = np.array(values, dtype=float)
"""


def ours(model):
    """Yield each setting of a detector of ours: its name and its numbers."""
    preprocess = model.preprocess
    yield "input", [preprocess.size_divisible, *preprocess.mean, *preprocess.std]
    yield "size at test", preprocess.fixed_size or [np.ravel(preprocess.min_size)[-1], preprocess.max_size]
    if not hasattr(model, "rpn"):
        yield "thresholds", [model.score_thresh, model.nms_thresh]
        yield "counts", [model.topk_candidates, model.detections_per_img]
        return
    rpn, heads = model.rpn, model.roi_heads
    yield "proposals at test", [rpn.pre_nms_top_n_test, rpn.post_nms_top_n_test]
    yield "proposals in training", [rpn.pre_nms_top_n_train, rpn.post_nms_top_n_train]
    yield "thresholds of proposals", [rpn.score_thresh, rpn.nms_thresh, rpn.min_size]
    yield "thresholds", [model.score_thresh, model.nms_thresh]
    yield "counts", [heads.detections_per_img]
    yield "coders", [*rpn.box_coder.weights, *heads.box_coder.weights]
    yield "box pooling", [heads.outsize, heads.outsize, heads.sampling_ratio]
    for name in ("mask", "keypoint"):
        if getattr(heads, f"{name}_head") is not None:
            yield f"{name} pooling", [BRANCH_OUTSIZE, BRANCH_OUTSIZE, heads.sampling_ratio]


def test_settings_are_torchvisions(torchvision_live):
    expected = torchvision_live.run(CODE, folder=HERE, builders=np.array(list(CASES)))
    found = {}
    for builder in CASES:
        with without_initial_values():
            model = models.MODELS[builder].builder()
        found |= {f"{builder}: {name}": [float(value) for value in values] for name, values in ours(model)}
    assert len(CASES) == 12
    assert found == {name: values.tolist() for name, values in expected.items()}
