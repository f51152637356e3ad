import itertools

import numpy as np
import pytest
from PIL import Image

from chainfpn import models
from chainfpn.cli import drawing
from chainfpn.cli.colours import colour_of, shade
from chainfpn.cli.drawing import draw as draw_detections
from chainfpn.cli.fonts import find_font
from chainfpn.cli.labels import place_labels
from chainfpn.cli.overlays import min_point_score, paint_mask, paint_skeleton
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
    sizes = [drawing._style((side, side)).font.size for side in (100, 600, 1000, 4000)]
    assert sizes == [13, 13, 21, 84]


def lab(colours):
    """CIELAB under D65."""
    linear = np.asarray(colours) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    x, y, z = (linear @ np.array(matrix).T / np.array([0.95047, 1, 1.08883])).T
    x, y, z = (np.where(v > 216 / 24389, np.cbrt(v), (24389 / 27 * v + 16) / 116) for v in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def test_ground_truth_has_no_score():
    """Its label is narrower than that of a detection, and so is the legend of a crowd."""
    image = Image.new("RGB", (600, 400))
    shown = [np.asarray(draw(image, [[100, 100, 300, 400]], [0], [score], ["cat"])) for score in (np.nan, 0.75)]
    widths = [np.flatnonzero(picture[95].any(axis=1)).size for picture in shown]
    assert 0 < widths[0] < widths[1]
    bbox = np.array([[40 * i, 25.0 * j, 40 * i + 38, 25 * j + 24] for i in range(10) for j in range(24)])
    pictures = [draw(image, bbox, [0] * 240, score, ["cat"]) for score in (np.full(240, np.nan), np.full(240, 0.5))]
    letters = [(np.asarray(picture) == 255).all(axis=2).sum() for picture in pictures]  # of the legends
    assert 0 < letters[0] < letters[1]


@pytest.mark.parametrize("space", [np.asarray, lab], ids=["RGB", "CIELAB"])
def test_no_two_of_80_colours_are_alike(space):
    colours = space([colour_of(label) for label in range(80)]).astype(float)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)]
    assert min(distances) >= 20


def test_labels_keep_out_of_each_others_way():
    """Four boxes at one place have their labels above and below, on either side."""
    image = Image.new("RGB", (300, 200), "grey")
    bbox = np.array([[60.0, 60.0, 140.0, 200.0]] * 4)
    picture = np.asarray(draw(image, bbox, [0, 1, 2, 3], [0.9, 0.8, 0.7, 0.6], ["a", "b", "c", "d"]))
    places = []
    for i in range(4):
        ys, xs = np.nonzero((picture == colour_of(i)).all(axis=2))
        away = (ys < 60) | (ys >= 140)  # the boxes themselves lie upon each other
        places.append((ys[away].mean() < 100, xs[away].mean() < 130))
    assert places == [(True, True), (True, False), (False, True), (False, False)]


def test_a_face_is_not_hidden_where_there_is_room_beside_it():
    image = Image.new("RGB", (100, 100), "grey")
    picture = draw(image, np.array([[0.0, 30.0, 100.0, 60.0]]), [0], [0.9], NAMES)
    factor = picture.width // 100
    inside = np.asarray(picture)[10 * factor : 90 * factor, 32 * factor : 58 * factor]
    assert (inside == np.asarray(Image.new("RGB", (1, 1), "grey"))).all()


def test_a_crowd_keeps_its_faces_and_gets_a_legend():
    image = Image.new("RGB", (600, 400), "grey")
    bbox = np.array([[40 * i, 25.0 * j, 40 * i + 38, 25 * j + 24] for i in range(10) for j in range(24)])
    label = np.arange(240) % 3
    picture = draw(image, bbox, label, np.linspace(0.99, 0.5, 240), ["person", "dog", "bicycle"])
    changed = labelled_pixels(picture, image)
    assert changed.mean() < 0.5
    assert (np.asarray(picture) == (255, 255, 255)).all(axis=2).sum() > 50  # the legend's letters


def test_labels_within_the_picture_and_apart():
    rng = np.random.RandomState(0)
    low = rng.randint(0, 250, (60, 2))
    outlines = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(low, rng.randint(5, 100, (60, 2)), strict=True)]
    sizes = [(60, 17)] * 60
    corners = [corner for corner in place_labels(outlines, sizes, (350, 350)) if corner is not None]
    assert 10 < len(corners) < 60
    for (x, y), (u, v) in itertools.combinations(corners, 2):
        assert abs(x - u) >= 60 or abs(y - v) >= 17
    assert all(0 <= x <= 290 and 0 <= y <= 333 for x, y in corners)


def test_a_mask_is_half_transparent_and_ends_at_its_border():
    picture = Image.new("RGB", (40, 30), "black")
    mask = np.zeros((15, 20), bool)
    mask[4:12, 5:15] = True
    paint_mask(picture, mask, (200, 100, 0), 2)
    pixels = np.asarray(picture)
    assert (pixels[8, 10] == (200, 100, 0)).all()
    np.testing.assert_allclose(pixels[15, 20], (90, 45, 0), atol=2)
    outside = pixels.copy()
    outside[8:24, 10:30] = 0
    assert not outside.any()


def test_a_mask_at_the_border_and_an_empty_one():
    picture = Image.new("RGB", (6, 6), "black")
    paint_mask(picture, np.zeros((6, 6), bool), (200, 100, 0), 2)
    assert not np.asarray(picture).any()
    paint_mask(picture, np.ones((6, 6), bool), (200, 100, 0), 2)
    assert np.asarray(picture).any(axis=2).all()


def test_instances_of_a_class_have_shades():
    shades = {shade(colour_of(0), i) for i in range(3)}
    assert len(shades) == 3
    assert colour_of(0) in shades


def test_a_skeleton_joins_what_is_sure():
    picture = Image.new("RGB", (100, 100), "black")
    point = np.full((17, 2), 50.0)
    point[5], point[7], point[9] = (20, 20), (20, 60), (80, 60)
    score = np.full(17, -1.0)
    score[[5, 7, 9]] = 5
    paint_skeleton(picture, point, score, (255, 0, 0), 2)
    pixels = np.asarray(picture)
    assert pixels[20, 40].any()
    assert pixels[50, 60].any()
    assert not pixels[50, 50].any()  # what is not sure is not there


def test_keypoints_with_probabilities_are_drawn_from_another_score():
    slim = {"fpn_channels": 8, "head_channels": 8, "keypoint_layers": (8,), "n_keypoint": 2}
    ours = models.keypointrcnn_resnet_fpn(18, 1, **slim)
    theirs = models.keypointrcnn_resnet_fpn(18, 1, rules="detectron2", **slim)
    assert (min_point_score(ours), min_point_score(theirs)) == (2, 0.05)
    point, score = np.array([[[20.0, 20], [20, 80]]]), np.array([[0.5, 0.01]])
    found = Detections(np.array([[0.0, 0, 100, 160]]), np.zeros(1, np.int32), np.array([0.9]), None, point, score)
    image = Image.new("RGB", (200, 200), "grey")
    without, with_points = (
        np.asarray(draw_detections(image, found, ["person"], min_point_score=min_point_score(one)))
        for one in (ours, theirs)
    )
    differ = (without != with_points).any(axis=2)
    assert differ[20, 20]
    assert not differ[20, 80]


def test_other_keypoints_are_points_only():
    picture = Image.new("RGB", (100, 100), "black")
    paint_skeleton(picture, np.array([[20.0, 20], [20, 80]]), np.array([5.0, 5]), (255, 0, 0), 2)
    pixels = np.asarray(picture)
    assert (pixels[20, 20] == (255, 0, 0)).all()
    assert not pixels[20, 50].any()


def test_the_best_is_on_top():
    image = Image.new("RGB", (200, 100), "grey")
    bbox = np.array([[20.0, 20.0, 80.0, 80.0], [20.0, 20.0, 80.0, 80.0]])
    picture = draw(image, bbox, [2, 0], [0.9, 0.8], NAMES)
    assert picture.getpixel((20, 60)) == colour_of(2)


def test_letters_that_pillows_font_lacks_are_taken_from_another():
    own = find_font(["cup 0.50", "a cup"], 20)
    found = find_font(["Ärmel 0.50"], 20)
    assert own.getname() == ("Aileron", "Regular")
    assert bytes(own.getmask("Ä")) == bytes(own.getmask("\uffff"))
    assert bytes(found.getmask("Ä")) != bytes(found.getmask("\uffff"))  # that of Matplotlib, if no other
    assert find_font(["\U0001e7e0"], 20).getname() == own.getname()  # no font here has that
