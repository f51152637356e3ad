"""Which images are detected together, and what happens where the memory does not suffice for them."""

import types

import numpy as np
import pytest

from chainfpn.training import _image_batches
from chainfpn.training._image_batches import ImageBatches


class Detector:
    """Finds the number in each image; has memory for so many."""

    preprocess = types.SimpleNamespace(on_device=False)

    def __init__(self, xp, most=100):
        self.xp, self.most, self.calls = xp, most, []

    def detect(self, imgs):
        self.calls.append([img.shape[1:] for img in imgs])
        if len(imgs) > self.most:
            raise MemoryError
        return [float(img[0, 0, 0]) for img in imgs]


def examples(*sizes):
    """Make an image of each size, or none for None, with its number."""
    return [([] if size is None else [np.full((3, *size), i, np.float32)], i) for i, size in enumerate(sizes)]


A, B = (4, 6), (6, 4)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(_image_batches, "MOST_IMAGES", 3)
    monkeypatch.setattr(_image_batches, "MOST_WAITING", 3)


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([A] * 7, [[A] * 3, [A] * 3, [A]]),
        ([A, B, A, None, A, B], [[A] * 3, [B] * 2]),
        ([A, A, B, B, (1, 1), (2, 2)], [[A] * 2, [B] * 2, [(1, 1)], [(2, 2)]]),
        ([], []),
    ],
)
def test_a_gpu_detects_in_images_of_one_size_at_once(sizes, calls):
    detector = Detector("a GPU's")
    found = list(ImageBatches(detector, examples(*sizes)))
    assert detector.calls == calls
    assert sorted(i for _, i in found) == list(range(len(sizes)))
    assert all(answer == (None if sizes[i] is None else i) for answer, i in found)


def test_a_cpu_detects_in_one_after_the_other():
    detector = Detector(np)
    assert list(ImageBatches(detector, examples(A, None, A, B))) == [(0, 0), (None, 1), (2, 2), (3, 3)]
    assert detector.calls == [[A], [A], [B]]


@pytest.mark.parametrize(("most", "lengths"), [(1, [3, 1, 2, 1, 1, 1, 1]), (2, [3, 1, 2, 1, 1])])
def test_where_memory_does_not_suffice_fewer_are_taken(most, lengths):
    detector = Detector("a GPU's", most)
    assert [answer for answer, _ in ImageBatches(detector, examples(*[A] * 5))] == [0, 1, 2, 3, 4]
    assert [*map(len, detector.calls)] == lengths


def test_an_image_that_is_too_large_alone_is_left_out():
    detector = Detector("a GPU's", 0)
    assert list(ImageBatches(detector, examples(A, A))) == [(None, 0), (None, 1)]


def test_images_that_were_waiting_do_not_raise_what_is_taken_at_once():
    """They were as many as fitted earlier."""
    batches = ImageBatches(Detector("a GPU's", 2), [])
    batches.most = 1
    assert batches._detect([img for imgs, _ in examples(*[A] * 4) for img in imgs]) == [0, 1, 2, 3]
    assert batches.most == 1
