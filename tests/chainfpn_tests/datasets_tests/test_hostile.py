"""Annotations that were damaged at random are read or refused in a sentence, by every reader."""

import json

import numpy as np
import pytest

from chainfpn.datasets import DataError, ValidatedDataset, dataset_splits, open_dataset
from reference.small_files import picture

POINTS = {"points": [[1, 2], [3, 4], [5, 6]], "polygonlabels": ["cell"]}
RECTANGLE = {"x": 5, "y": 5, "width": 50, "height": 50, "rotation": 3, "rectanglelabels": ["cell"]}
SIZE = {"original_width": 96, "original_height": 64, "image_rotation": 0}
#: The file that is damaged, its content, and the other files.
SETS = {
    "VOC": (
        "0.xml",
        "<annotation><size><width>96</width><height>64</height></size><object><name>cell</name><bndbox><xmin>5</xmin>"
        "<ymin>5</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object></annotation>",
        {},
    ),
    "COCO": (
        "a.json",
        {
            "images": [{"id": 1, "file_name": "0.png", "width": 96, "height": 64}],
            "categories": [{"id": 1, "name": "cell", "keypoints": ["left", "right"]}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 20, 10], "area": 200, "iscrowd": 0}
                | {"segmentation": [[1, 2, 21, 2, 21, 12]], "keypoints": [1, 2, 2, 3, 4, 2]}
            ],
        },
        {},
    ),
    "Label Studio": (
        "a.json",
        [
            {
                "data": {"image": "/upload/0.png"},
                "annotations": [{"result": [{**SIZE, "value": RECTANGLE}, {**SIZE, "value": POINTS}]}],
            }
        ],
        {},
    ),
    "CVAT": (
        "annotations.xml",
        '<annotations><labels><label><name>cell</name></label></labels><image name="0.png" width="96" height="64">'
        '<box label="cell" xtl="5" ytl="5" xbr="50" ybr="60" rotation="3"/><polygon label="cell" points="1,2;3,4;5,6"/>'
        '<ellipse label="cell" cx="5" cy="6" rx="3" ry="4" rotation="9"/></image></annotations>',
        {},
    ),
    "a yaml": (
        "data.yaml",
        "path: .\ntrain: [.]\nval: .\nnc: 2\nnames:\n  0: cell\n  1: egg\nkpt_shape: [2, 3]\n",
        {"0.txt": "0 .5 .5 .1 .1\n"},
    ),
    "YOLO": ("0.txt", "0 .5 .5 .1 .1\n0 .1 .1 .2 .2 .3 .3\n", {"classes.txt": "cell\n"}),
    "CSV": ("x.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n0.png,96,64,cell,1,2,21,12\n", {}),
}
PIECES = [b"-", b"9" * 20, b"1e999", b"nan", b"\n", b"\0", b",", b": ", b"[", b"{", b"&x;", b"<", b'"']
VALUES = [None, True, -1, 1e400, 10**30, "", "x", [], {}, [[]], [None], {"a": 1}, 1.5]


def places(value):
    """Yield every container in a JSON value with a key of it."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(entry, dict | list):
            yield from places(entry)


def damaged(content, random):
    """Change bytes, or values of JSON."""
    if not isinstance(content, str):
        content = json.loads(json.dumps(content))
        found = [*places(content)]
        owner, key = found[random.randint(len(found))]
        owner[key] = VALUES[random.randint(len(VALUES))]
        return json.dumps(content).encode()
    data = bytearray(content.encode())
    for _ in range(random.randint(1, 4)):
        i = random.randint(len(data))
        data[i : i + random.randint(5)] = PIECES[random.randint(len(PIECES))]
    return bytes(data)


def attempt(folder):
    """Read the data; return the sentence by which they are refused, empty if they are not."""
    try:
        data = open_dataset(folder, split=next(iter(dataset_splits(folder)), None))
        keys = {"mask", "point", "visible"}.intersection(data.available_keys)
        data.keys = (*data.DEFAULT_KEYS, *sorted(keys))
        ValidatedDataset(data, report=str)[0]
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "content", "others"), SETS.values(), ids=SETS)
def test_what_is_damaged_is_no_traceback(name, content, others, tmp_path):
    random = np.random.RandomState(0)
    picture(tmp_path / "0.png")
    for other, text in others.items():
        (tmp_path / other).write_text(text)
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert attempt(tmp_path) == ""
    for _ in range(60):
        (tmp_path / name).write_bytes(damaged(content, random))
        assert "\n" not in attempt(tmp_path)
