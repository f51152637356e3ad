"""Default boxes: by hand, and all of SSD300's against torchvision's."""

import numpy as np
import pytest

from chainfpn.boxes import DefaultBoxGenerator
from chainfpn.models.ssd import ASPECT_RATIOS, SCALES, STEPS

MAPS = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]


def test_one_position_by_hand():
    generator = DefaultBoxGenerator([[4]], [0.2, 0.8], [50])
    (boxes,) = generator([(1, 2)], (100, 200), np)
    assert generator.n_anchors == (4,)
    assert boxes.dtype == np.float32
    # centred on y = 25, x = 25: the scale, the scale between, four times as wide as high, and upright
    expected = [[15, 5, 35, 45], [5, -15, 45, 65], [20, -15, 30, 65], [5, 15, 45, 35]]
    np.testing.assert_allclose(boxes[:4], expected, atol=1e-4)
    np.testing.assert_allclose(boxes[4:], boxes[:4] + np.float32([0, 50, 0, 50]), atol=1e-4)


def test_no_side_is_longer_than_the_image():
    (boxes,) = DefaultBoxGenerator([[2]], [0.9, 1.6], [10])([(1, 1)], (10, 10), np)
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[1], (10, 10), atol=1e-5)
    np.testing.assert_allclose(sides[2], (9 / 2**0.5, 10), atol=1e-5)


def test_those_of_ssd300_are_torchvisions(torchvision_live):
    expected = torchvision_live.run("""
        from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
        from torchvision.models.detection.image_list import ImageList
        model = torchvision.models.detection.ssd300_vgg16(weights=None, weights_backbone=None)
        images = ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
        maps = [torch.zeros(1, 1, n, n) for n in (38, 19, 10, 5, 3, 1)]
        (outputs["boxes"],) = model.anchor_generator(images, maps)
    """)["boxes"]
    found = np.concatenate(DefaultBoxGenerator(ASPECT_RATIOS, SCALES, STEPS)(MAPS, (300, 300), np))
    assert len(found) == 8732
    np.testing.assert_allclose(found, expected[:, [1, 0, 3, 2]], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([[2]], [0.1], [8]), "scales must have 2 entries for 1 levels, got 1"),
        (([[2]], [0.1, 0.2], [8, 16]), "steps must have 1 entries for 1 levels, got 2"),
        (([[-2]], [0.1, 0.2], [8]), r"aspect_ratios must be > 0, got \(-2\.0,\)"),
    ],
)
def test_bad_numbers_are_named(arguments, sentence):
    with pytest.raises(ValueError, match=f"DefaultBoxGenerator: {sentence}"):
        DefaultBoxGenerator(*arguments)


def test_a_map_too_few_is_named():
    with pytest.raises(ValueError, match="map_sizes must have 1 entries, got 2"):
        DefaultBoxGenerator([[2]], [0.1, 0.2], [8])([(1, 1), (1, 1)], (8, 8), np)
