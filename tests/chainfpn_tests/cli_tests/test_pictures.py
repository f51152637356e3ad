"""Pictures to look at: each is made here, into the folder that pytest names, and checked as far as a machine can."""

import numpy as np
import pytest
from PIL import Image

from chainfpn.cli.drawing import draw
from chainfpn.data import photograph_path
from chainfpn.images import read_image
from chainfpn.links import Detections

#: Where things are in the bundled photograph, of 512 x 512 pixels: yxyx.
BBOX = np.array([[0, 84, 511, 346], [0, 0, 508, 100], [4, 280, 364, 460], [325, 64, 470, 140]], dtype=np.float32)
LABEL, SCORE = np.array([0, 4, 4, 27]), np.array([0.98, 0.87, 0.71, 0.62])
#: The astronaut's face, yxyx.
FACE = np.array([60, 170, 190, 280])
#: COCO's 17 keypoints of the astronaut as far as they are there, yx.
POINT = np.array(
    [(135, 222), (112, 246), (112, 202), (124, 272), (120, 180), (262, 306), (258, 132), (420, 332), (420, 104)]
    + [(500, 250), (498, 180)] + [(510, 290), (510, 150)] + [(0, 0)] * 4,
    dtype=np.float32,
)  # fmt: skip


@pytest.fixture(scope="module")
def photograph():
    return read_image(photograph_path())


@pytest.fixture(scope="module")
def names():
    from chainercv.datasets import coco_bbox_label_names

    return coco_bbox_label_names


def ellipse(height, width, bb):
    """A mask that fills most of a box."""
    y, x = np.mgrid[:height, :width]
    (y_min, x_min, y_max, x_max) = bb
    a = (y - (y_min + y_max) / 2) / ((y_max - y_min) / 2)
    b = (x - (x_min + x_max) / 2) / ((x_max - x_min) / 2)
    return a**2 + b**2 < 1


@pytest.mark.parametrize("side", [40, 100, 512, pytest.param(4000, marks=pytest.mark.slow)])
def test_labels_leave_the_face_alone(side, photograph, names, tmp_path):
    image, scale = photograph.resize((side, side)), side / 512
    picture = draw(image, Detections(BBOX * scale, LABEL, SCORE), names)
    picture.save(tmp_path / f"{side}.png")
    factor = picture.width / 512
    y_min, x_min, y_max, x_max = (FACE * factor).astype(int)
    face = np.asarray(picture)[y_min:y_max, x_min:x_max].astype(int)
    plain = np.asarray(image.resize(picture.size))[y_min:y_max, x_min:x_max]
    assert (np.abs(face - plain).max(axis=2) > 8).mean() < 0.1


def test_a_crowd(photograph, names, tmp_path):
    rng = np.random.RandomState(0)
    image = photograph.resize((1280, 960))
    low = rng.rand(150, 2) * (800, 1200)
    size = 20 + rng.rand(150, 1) ** 2 * 150 * np.array([[2, 1]])
    score = np.sort(rng.uniform(0.5, 0.99, 150))[::-1]
    label = rng.choice([0, 0, 0, 1, 2, 26], 150)
    picture = draw(image, Detections(np.hstack([low, low + size]), label, score), names)
    picture.save(tmp_path / "crowd.png")
    changed = (np.asarray(picture) != np.asarray(image)).any(axis=2)
    assert changed.mean() < 0.5


def test_masks(photograph, names, tmp_path):
    masks = np.stack([ellipse(512, 512, bb) for bb in BBOX])
    picture = draw(photograph, Detections(BBOX, LABEL, SCORE, mask=masks), names)
    picture.save(tmp_path / "masks.png")
    changed = np.abs(np.asarray(picture).astype(int) - np.asarray(photograph)).max(axis=2) > 8
    assert changed[masks.any(axis=0)].mean() > 0.9


@pytest.mark.parametrize("side", [100, 512])
def test_keypoints(side, photograph, names, tmp_path):
    scale = side / 512
    score = np.where(POINT.any(axis=1), 9.0, -5.0)
    detections = Detections(BBOX[:1] * scale, LABEL[:1], SCORE[:1], point=POINT[None] * scale, point_score=score[None])
    picture = draw(photograph.resize((side, side)), detections, names)
    picture.save(tmp_path / f"keypoints_{side}.png")
    factor = picture.width / 512
    y, x = (POINT[5] * factor).astype(int)
    assert tuple(np.asarray(picture)[y, x]) == (45, 240, 75)
    assert isinstance(picture, Image.Image)
