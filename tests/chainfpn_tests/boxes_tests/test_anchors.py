"""Anchors: hand-computed boxes, and torchvision's."""

import numpy as np
import pytest

from chainfpn.boxes import AnchorGenerator, DefaultBoxGenerator
from chainfpn.boxes.anchors import CACHE_SIZE


def test_one_anchor_by_hand():
    generator = AnchorGenerator([[32]], [0.5])
    (anchors,) = generator([(2, 2)], (32, 64), np)
    # height 32 * sqrt(.5) = 22.6, width 45.25; half extents 11.3 -> 11, 22.6 -> 23; strides 16 and 32
    base = np.array([-11, -23, 11, 23])
    shifts = np.array([[0, 0], [0, 32], [16, 0], [16, 32]])
    np.testing.assert_array_equal(anchors, base + np.tile(shifts, 2))
    assert anchors.dtype == np.float32


def test_anchors_are_torchvisions(torchvision_live):
    sizes, ratios = ((32,), (64, 100), (7.5,)), (0.5, 1.0, 2.0)
    maps, image = [(25, 33), (13, 17), (5, 3)], (200, 264)
    out = torchvision_live.run(
        f"""
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.models.detection.image_list import ImageList
        generator = AnchorGenerator({sizes!r}, ({ratios!r},) * 3)
        images = ImageList(torch.zeros(1, 3, *{image!r}), [{image!r}])
        outputs["anchors"] = generator(images, [torch.zeros(1, 1, *m) for m in {maps!r}])[0]
        """
    )
    ours = np.concatenate(AnchorGenerator(sizes, ratios)(maps, image, np))
    np.testing.assert_array_equal(ours, out["anchors"][:, [1, 0, 3, 2]])


def test_levels_that_differ_have_no_number_of_anchors():
    with pytest.raises(ValueError, match="AnchorGenerator: sizes must have equally many entries per level"):
        _ = AnchorGenerator([[32], [64, 100]], [1.0]).n_anchors


@pytest.mark.parametrize(
    ("sizes", "ratios", "name"), [([[0]], [1], "sizes"), ([[32]], [-1], "aspect_ratios"), ([], [1], "sizes")]
)
def test_a_size_that_is_none_is_named(sizes, ratios, name):
    with pytest.raises(ValueError, match=f"AnchorGenerator: {name} must be > 0"):
        AnchorGenerator(sizes, ratios)


def test_a_missing_map_is_named():
    with pytest.raises(ValueError, match="AnchorGenerator: map_sizes must have 2 entries, got 1"):
        AnchorGenerator([[32], [64]], [1])([(2, 2)], (32, 32), np)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: AnchorGenerator([[32], [64]], [0.5, 1]), {"sizes": [[8], [16]]}),
        (lambda: DefaultBoxGenerator([[2], [2]], [0.2, 0.4, 0.6], [8, 16]), {"steps": (4, 8)}),
    ],
)
def test_a_gpu_keeps_the_anchors_of_a_shape_until_a_setting_changes(make, change):
    cupy = pytest.importorskip("cupy")
    generator, maps, image = make(), [(4, 5), (2, 3)], (32, 40)
    anchors = generator(maps, image, cupy)
    again = generator(maps, image, cupy)
    assert all(a is b for a, b in zip(anchors, again, strict=True))
    for width in range(1, CACHE_SIZE + 3):  # other shapes, more than are kept
        other = [(4, width), (2, 1)]
        for ours, cpus in zip(generator(other, image, cupy), generator(other, image, np), strict=True):
            np.testing.assert_allclose(ours.get(), cpus, rtol=1e-6)
    for name, value in change.items():
        setattr(generator, name, value)
    for ours, cpus in zip(generator(maps, image, cupy), generator(maps, image, np), strict=True):
        np.testing.assert_allclose(ours.get(), cpus, rtol=1e-6)
    assert not np.array_equal(generator(maps, image, cupy)[0].get(), anchors[0].get())
