import itertools

import numpy as np
import pytest
from PIL import Image

from chainfpn.cli import drawing
from chainfpn.cli.drawing import draw as draw_detections
from chainfpn.links import Detections

NAMES = ["person", "a very long name of a thing", "dog"]


def draw(image, bbox, label, score, names):
    detections = Detections(np.asarray(bbox), np.asarray(label, dtype=np.int32), np.asarray(score))
    return draw_detections(image, detections, names)


def labelled_pixels(picture, image):
    """Where the picture differs from the image: bool, (H, W)."""
    return (np.asarray(picture) != np.asarray(image.resize(picture.size))).any(axis=2)


def test_the_image_stays_and_the_copy_has_the_box():
    image = Image.new("RGB", (300, 200), "grey")
    before = image.tobytes()
    picture = draw(image, np.array([[50.0, 40.0, 150.0, 240.0]]), [0], [0.98], NAMES)
    assert image.tobytes() == before
    assert picture.size == image.size
    changed = labelled_pixels(picture, image)
    assert changed[50:150, [40, 239]].all()  # left and right edge
    assert changed[[50, 149], 40:240].all()  # top and bottom edge
    assert not changed[60:140, 50:230].any()  # the inside is free
    assert changed[30:50, 40:80].any()  # the name, above
    assert not changed[152:].any()
    assert not changed[:, 242:].any()


def test_no_detection_changes_nothing():
    image = Image.new("RGB", (30, 20), "grey")
    assert draw(image, np.zeros((0, 4)), [], [], NAMES).tobytes() == image.tobytes()


CORNERS = {
    "whole image": (0, 0, 200, 300),
    "beyond the image": (-50, -50, 400, 500),
    "top left": (0, 0, 5, 5),
    "top right": (0, 290, 5, 300),
    "bottom left": (195, 0, 200, 5),
    "bottom right": (198.5, 298.5, 200, 300),
    "empty": (100, 100, 100, 100),
    "outside": (300, 400, 310, 410),
}


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("bb", CORNERS.values(), ids=CORNERS)
def test_a_label_is_whole_wherever_the_box_is(bb, label):
    """Ink and background of the label have the same number of pixels at the border as in the middle."""
    image = Image.new("RGB", (300, 200), (1, 2, 3))

    def ink(bb):
        picture = np.asarray(draw(image, np.array([bb], dtype=np.float32), [label], [0.5], NAMES))
        dark = (picture.astype(int).sum(axis=2) == 0) | (picture.astype(int).sum(axis=2) == 765)
        return dark.sum()

    assert ink(bb) == ink((80, 30, 81, 31)) > 20


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (6, 60), (60, 6), (64, 48)])
def test_a_small_image_is_enlarged_until_its_labels_fit(size):
    image = Image.new("RGB", size, "grey")
    picture = draw(image, np.array([[0, 0, size[1], size[0]]]), [1], [0.5], NAMES)
    assert picture.width % image.width == picture.height % image.height == 0
    assert picture.width // image.width == picture.height // image.height > 1
    left, top, right, bottom = drawing._style(size).font.getbbox("a very long name of a thing 0.50")
    assert picture.width >= right - left
    assert picture.height >= bottom - top


def test_enlarging_has_an_end():
    image = Image.new("RGB", (10_000, 1), "grey")
    assert draw(image, np.array([[0, 0, 1, 100]]), [0], [0.5], NAMES).size == (10_000, 1)


def test_letters_grow_with_the_image():
    sizes = [drawing._style((side, side)).font.size for side in (100, 500, 1000, 4000)]
    assert sizes[0] == sizes[1] - 1 == 13
    assert sizes[2] == 28
    assert sizes[3] == 112


def test_classes_have_colours_of_their_own():
    colours = [drawing._colour(i) for i in range(80)]
    assert len(set(colours)) == 80
    neighbours = [np.abs(np.subtract(a, b)).max() for a, b in itertools.pairwise(colours)]
    assert min(neighbours) > 100


def test_labels_keep_out_of_each_others_way():
    """Four boxes at one place have room for four labels: above, at the top, below, at the bottom."""
    image = Image.new("RGB", (300, 200), "grey")
    bbox = np.array([[60.0, 60.0, 140.0, 200.0]] * 4)
    picture = np.asarray(draw(image, bbox, [0, 1, 2, 0], [0.9, 0.8, 0.7, 0.6], ["a", "b", "c"]))
    ys = [np.flatnonzero((picture[:, 66:70] == drawing._colour(i)).all(axis=2).any(axis=1)) for i in range(3)]
    assert ys[0].min() < 60 <= ys[1].min() < 140 <= ys[2].min()
    assert ys[0].max() < 140


def test_the_best_is_on_top():
    image = Image.new("RGB", (100, 100), "grey")
    bbox = np.array([[20.0, 20.0, 80.0, 80.0], [20.0, 20.0, 80.0, 80.0]])
    picture = draw(image, bbox, [2, 0], [0.9, 0.8], NAMES)
    assert picture.getpixel((20, 60)) == drawing._colour(2)
