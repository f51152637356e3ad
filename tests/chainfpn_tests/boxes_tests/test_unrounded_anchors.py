"""The anchors of detectron2 and mmdetection, against numbers worked out by hand."""

import numpy as np
import pytest

from chainfpn.boxes import Detectron2AnchorGenerator, MMDetectionAnchorGenerator

BOTH = pytest.mark.parametrize("generator", [Detectron2AnchorGenerator, MMDetectionAnchorGenerator])


@BOTH
def test_shapes_are_not_rounded(generator):
    (anchors,) = generator([[32]], [0.5, 2.0])([(1, 1)], (4, 4), np)
    half = 32 / 2 / np.sqrt(2)
    np.testing.assert_allclose(anchors, [[-half, -2 * half, half, 2 * half], [-2 * half, -half, 2 * half, half]], 1e-6)
    assert anchors.dtype == np.float32


@BOTH
def test_strides_double_also_where_a_map_is_rounded_up(generator):
    sizes = [[1]] * 5
    maps = [(56, 64), (28, 32), (14, 16), (7, 8), (4, 4)]  # 224 // 4 is 56, not 64
    levels = generator(sizes, [1.0])(maps, (224, 256), np)
    for level, (anchors, (_, width)) in enumerate(zip(levels, maps, strict=True)):
        assert anchors[width].tolist() == [2 ** (level + 2) - 0.5, -0.5, 2 ** (level + 2) + 0.5, 0.5]


def test_the_order_within_a_place_is_the_frameworks():
    sides = {}
    for generator in (Detectron2AnchorGenerator, MMDetectionAnchorGenerator):
        (anchors,) = generator([[8, 16]], [1.0, 4.0])([(1, 1)], (4, 4), np)
        sides[generator] = (anchors[:, 2:] - anchors[:, :2]).tolist()
    assert sides[Detectron2AnchorGenerator] == [[8, 8], [16, 4], [16, 16], [32, 8]]
    assert sides[MMDetectionAnchorGenerator] == [[8, 8], [16, 16], [16, 4], [32, 8]]
