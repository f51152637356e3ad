"""ChainerCV's anchors: a hand-computed box, and those of its own network."""

import numpy as np
import pytest
from chainercv.links.model.fpn import RPN

from chainfpn.boxes import ChainerCVAnchorGenerator

SIZES, RATIOS = [[32 * 2**level] for level in range(5)], (0.5, 1.0, 2.0)


def test_one_anchor_by_hand():
    (anchors,) = ChainerCVAnchorGenerator([[64]], [0.5])([(1, 2)], (8, 16), np)
    # stride 8: width round(11.3) = 11 strides' eighths of 64, height round(5.5) = 6: 88 x 48; centres (4, 4), (4, 12)
    np.testing.assert_array_equal(anchors, [[-20, -40, 28, 48], [-20, -32, 28, 56]])
    assert anchors.dtype == np.float32


@pytest.mark.parametrize("size", [(96, 160), (32, 32), (256, 448)])
def test_anchors_are_chainercvs(size):
    """Also where the last level is rounded up: its stride is 64 all the same."""
    maps = [(size[0] // stride, size[1] // stride) for stride in (4, 8, 16, 32)]
    maps.append(tuple((side + 1) // 2 for side in maps[-1]))
    expected = RPN([1 / stride for stride in (4, 8, 16, 32, 64)]).anchors(maps)
    anchors = ChainerCVAnchorGenerator(SIZES, RATIOS)(maps, size, np)
    for ours, theirs in zip(anchors, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
