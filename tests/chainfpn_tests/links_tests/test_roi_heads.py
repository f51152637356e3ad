"""In whose coordinates the heads on proposals suppress."""

import numpy as np
import pytest

from chainfpn.links import RoIHeads
from chainfpn.links.detectors.framework_preprocess import ResizedSize


@pytest.mark.parametrize(
    ("options", "n_kept"),
    [({}, 1), ({"nms_in_photograph": True}, 2), ({"nms_in_photograph": True, "mask_head": lambda x: x}, 1)],
)
def test_an_iou_of_half_is_kept_in_the_photograph_alone(options, n_kept):
    """There it is 0.5; in the batch rounding makes it more, and with masks it counts there."""
    size = ResizedSize((240, 360), (150, 225))
    factors = np.float32([240 / 150, 360 / 225, 240 / 150, 360 / 225])
    bbox = np.float32([[10, 10, 12, 12], [10, 10, 12, 14]]) * factors
    scores, bboxes = np.float32([[0, 0.9], [0, 0.8]]), np.repeat(bbox[:, None], 2, axis=1)
    (found,) = RoIHeads(None, None, min_size=0.0, **options).select_detections(scores, bboxes, [bbox], [size])
    np.testing.assert_array_equal(found.bbox, bbox[:n_kept])


def test_a_size_that_knows_no_photograph_is_its_own():
    bbox = np.float32([[1, 1, 9, 9], [1, 1, 9, 8]])
    scores, bboxes = np.float32([[0, 0.9], [0, 0.8]]), np.repeat(bbox[:, None], 2, axis=1)
    heads = RoIHeads(None, None, nms_in_photograph=True)
    assert len(heads.select_detections(scores, bboxes, [bbox], [(16, 16)])[0].bbox) == 1
