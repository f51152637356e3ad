"""Images of rare classes come more often: factors computed by hand."""

import json
from collections import Counter

import numpy as np
from PIL import Image

from chainfpn.datasets import AspectRatioGroupedIterator, ValidatedDataset, open_dataset, repeat_factors


def test_the_factor_of_the_rarest_class(tmp_path):
    """Of eight images all but the last have an a, two a b, one a c."""
    for i in range(8):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{i}.png")
    boxes = [(i, 0) for i in range(7)] + [(0, 0), (0, 1), (1, 1), (1, 2)]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(8)],
        "categories": [{"id": k, "name": name} for k, name in enumerate("abc")],
        "annotations": [{"image_id": i, "category_id": k, "bbox": [1, 1, 20, 20]} for i, k in boxes],
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    data = ValidatedDataset(open_dataset(tmp_path))
    expected = [np.sqrt(0.5 / (2 / 8)), np.sqrt(0.5 / (1 / 8)), 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(repeat_factors(data, 0.5), expected)
    np.testing.assert_allclose(repeat_factors(data.dataset, 0.5), expected)


def test_an_iterator_repeats_as_often_on_average():
    np.random.seed(0)
    iterator = AspectRatioGroupedIterator(range(4), 1, repeats=[1, 1.25, 2, 3.5])
    rounds = [Counter(int(i) for i in iterator._new_order()) for _ in range(400)]
    assert {(one[0], one[2]) for one in rounds} == {(1, 2)}
    assert {one[1] for one in rounds} == {1, 2}
    assert {one[3] for one in rounds} == {3, 4}
    for i, expected in ((1, 1.25), (3, 3.5)):
        assert abs(np.mean([one[i] for one in rounds]) - expected) < 0.1
