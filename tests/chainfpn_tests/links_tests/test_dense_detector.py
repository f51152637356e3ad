"""What detectors of one stage do with what their heads predict, by hand: other frameworks' ways among them."""

import numpy as np
import pytest
from scipy.special import expit, logit

from chainfpn.boxes import LinearBoxCoder
from chainfpn.errors import InvalidArgument
from chainfpn.links import FCOS, RetinaNet, ScaledFCOSHead

#: Two boxes that overlap by 4 / 12 beyond the image, which ends at x = 8, by 4 / 8 within; and one outside.
BOXES = np.array([[0, 4, 1, 12], [0, 0, 1, 8], [0, 9, 1, 12]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7], np.float32)


def detect(**options):
    detector = RetinaNet(None, None, None, n_fg_class=1, nms_thresh=0.4, **options)
    return detector.postprocess_detections([SCORES[:, None]], [np.zeros_like(BOXES)], [BOXES], (8, 8))


def test_boxes_are_clipped_before_nms():
    found = detect()
    np.testing.assert_allclose(found.score, [0.9, 0.7])  # what lies outside has no area, and stays
    np.testing.assert_allclose(found.bbox, [[0, 4, 1, 8], [0, 8, 1, 8]])
    np.testing.assert_allclose(detect(min_size=1e-30).score, [0.9])


def test_boxes_are_not_clipped_before_nms():
    """As detectron2 does, which clips them in the photograph."""
    found = detect(clip_before_nms=False, min_size=5.0)
    np.testing.assert_allclose(found.score, [0.9, 0.8, 0.7])
    np.testing.assert_array_equal(found.bbox, BOXES)
    assert found.class_id.dtype == np.int32


def test_a_smallest_side_is_no_negative_number():
    with pytest.raises(InvalidArgument, match="RetinaNet: min_size must be >= 0, got -1"):
        RetinaNet(None, None, None, n_fg_class=1, min_size=-1)


@pytest.mark.parametrize(("rank_by_class", "expected"), [(True, 0.6 * 0.5), (False, (0.5 * 0.8) ** 0.5)])
def test_candidates_of_fcos_are_ranked_by_class_or_with_the_centerness(rank_by_class, expected):
    """The best of two by one is not the best by the other."""
    coder = LinearBoxCoder(normalize_by_size=False)
    detector = FCOS(
        None, None, None, n_fg_class=1, topk_candidates=1, rank_by_class=rank_by_class, box_coder=coder,
        score_thresh=0.05,
    )  # fmt: skip
    places = np.float32([[0, 0, 8, 8], [0, 8, 8, 16]])
    detector.backbone = lambda x: [x]
    outputs = [logit(np.float32([[[0.6], [0.5]]]))], [np.ones((1, 2, 4), "f")], [logit(np.float32([[[0.5], [0.8]]]))]
    detector.head = lambda hs: [[_variable(level) for level in levels] for levels in outputs]
    detector.anchor_generator = lambda *arguments: [places]
    (found,) = detector(np.zeros((1, 3, 16, 16), "f"), [(16, 16)])
    np.testing.assert_allclose(found.score, [expected], rtol=1e-6)
    np.testing.assert_allclose(found.bbox, [[3, 3, 5, 5]] if rank_by_class else [[3, 11, 5, 13]])


def _variable(array):
    from chainer import Variable

    return Variable(array)


def test_a_scaled_head_of_fcos_by_hand():
    """Distances are exp(scale * logit), with a scale a level; centerness comes from the branch of the classes."""
    head = ScaledFCOSHead(32, 2, 2)
    for number, scale in zip((0.5, 2.0), head.regression_head.scales, strict=True):
        assert scale.scale.array == 1
        scale.scale.array[...] = number
    for conv in (head.regression_head.bbox_reg, head.classification_head.bbox_ctrness):
        conv.W.array[...] = 0
    head.regression_head.bbox_reg.b.array[...] = [-1, 0, 1, 2]
    head.classification_head.bbox_ctrness.b.array[...] = 3
    hs = [np.random.RandomState(0).normal(size=(2, 32, side, side)).astype("f") for side in (3, 2)]
    logits, distances, centers = head(hs)
    assert [level.shape for level in logits] == [(2, 9, 2), (2, 4, 2)]
    np.testing.assert_allclose(distances[0].array[1, 5], np.exp([-0.5, 0, 0.5, 1]), rtol=1e-6)
    np.testing.assert_allclose(distances[1].array[0, 3], np.exp([-2, 0, 2, 4]), rtol=1e-6)
    np.testing.assert_array_equal(centers[0].array, np.full((2, 9, 1), 3))
    assert expit(logits[0].array).mean() == pytest.approx(0.01, abs=2e-3)
    assert "/classification_head/conv/0/b" not in dict(head.namedparams())
