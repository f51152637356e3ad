"""What CVAT, Label Studio and LabelMe write in their own formats: the right box of every shape."""

import json

import numpy as np
import pytest

from chainfpn.datasets import CVATDataset, DataError, LabelMeDataset, LabelStudioDataset, open_dataset
from reference.small_files import picture, write

BB = [2, 1, 12, 21]
BOX = '<box label="cell" occluded="0" xtl="1.0" ytl="2.0" xbr="21.0" ybr="12.0" z_order="0"{}></box>'
PLAIN = BOX.format("")


def cvat(folder, shapes=PLAIN, image="images/0.jpg", labels=("egg", "cell"), **more):
    picture(folder / image)
    names = "".join(f"<label><name>{label}</name></label>" for label in labels)
    attributes = {"id": "0", "name": "0.jpg", "width": "96", "height": "64", **more}
    written = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    text = f"<meta><task><labels>{names}</labels></task></meta><image {written}>{shapes}</image>"
    (folder / "annotations.xml").write_text(f"<?xml version='1.0'?><annotations>{text}</annotations>")
    return open_dataset(folder)


CVAT = {
    "a box": (PLAIN, BB),
    "a box that was turned": (BOX.format(' rotation="90.0"'), [-3, 6, 17, 16]),
    "a polygon": ('<polygon label="cell" points="1.0,2.0;21.0,2.0;11.0,12.0"></polygon>', BB),
    "an ellipse": ('<ellipse label="cell" cx="11" cy="7" rx="10" ry="5"></ellipse>', BB),
    "an ellipse that was turned": ('<ellipse label="cell" cx="11" cy="7" rx="5" ry="10" rotation="90"/>', BB),
    "a mask": ('<mask label="cell" rle="0, 200" left="1" top="2" width="20" height="10"></mask>', BB),
}


@pytest.mark.parametrize(("shape", "bb"), CVAT.values(), ids=CVAT)
def test_a_shape_of_cvat(shape, bb, tmp_path):
    data = cvat(tmp_path, shape)
    assert isinstance(data, CVATDataset)
    assert data.label_names == ("egg", "cell")
    img, bbox, label = data[0]
    assert img.shape == (3, 64, 96)
    np.testing.assert_allclose(bbox, [bb], atol=1e-5)
    assert label.tolist() == [1]


@pytest.mark.parametrize(
    ("image", "more"),
    [("0.jpg", {}), ("images/train/0.jpg", {"subset": "train"}), ("images/a/0.jpg", {"name": "a/0.jpg"})],
)
def test_an_image_of_cvat_is_found(image, more, tmp_path):
    assert cvat(tmp_path, image=image, **more)[0][1].tolist() == [BB]


def test_what_has_no_box_is_counted(tmp_path):
    shapes = [
        '<points label="cell" points="1,2"/><tag label="cell"/><box label="cell" xtl="a" ytl="1" xbr="2" ybr="2"/>',
        '<polygon label="cell" points="1,b"/><box xtl="0" ytl="1" xbr="2" ybr="2"/>',
    ]
    data = cvat(tmp_path, "".join([*shapes, PLAIN]))
    assert data[0][1].tolist() == [BB]
    assert data.left_out.counts == {"shapes without a box": 5}
    with pytest.raises(DataError, match=r"0\.jpg: must be 64x90 pixels high and wide as annotated, got \(64, 96\)"):
        cvat(tmp_path, width=90)[0]
    assert cvat(tmp_path, width="inf")[0][1].tolist() == [BB]


def test_what_is_not_cvats_is_refused(tmp_path):
    path = tmp_path / "annotations.xml"
    image = '<image name="0.jpg"/>'
    for text, message in {
        "<annotations><track/></annotations>": "must be of CVAT's format for images",
        "<annotation/>": "must be of CVAT's format for images",
        f"<annotations>{image}{image}</annotations>": r"every image must have a name of its own, got '0\.jpg'",
        "<annotations/>": r"annotations\.xml: has no image",
        "<annotations>": r"annotations\.xml: is not XML",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            open_dataset(tmp_path)


SIZE = {"original_width": 96, "original_height": 64, "image_rotation": 0}


def rectangle(x=1, y=2, width=20, height=10, **more):
    """Return a shape in pixels as Label Studio has it: in hundredths of the image."""
    value = {"x": x / 0.96, "y": y / 0.64, "width": width / 0.96, "height": height / 0.64, "rotation": 0}
    return {"type": "rectanglelabels", **SIZE, "value": {**value, "rectanglelabels": ["cell"], **more}}


def polygon(*points):
    value = {"points": [[x / 0.96, y / 0.64] for x, y in points], "polygonlabels": ["cell"]}
    return {"type": "polygonlabels", **SIZE, "value": value}


def task(*shapes, image="/data/upload/1/0123abcd-0.jpg", **more):
    return {
        "id": 1,
        "annotations": [{"result": list(shapes), "was_cancelled": False}],
        "data": {"image": image},
        **more,
    }


def label_studio(folder, *tasks, image="0.jpg"):
    picture(folder / image)
    (folder / "export.json").write_text(json.dumps(list(tasks)))
    return open_dataset(folder)


ELLIPSE = {"x": 11 / 0.96, "y": 7 / 0.64, "radiusX": 10 / 0.96, "radiusY": 5 / 0.64, "ellipselabels": ["cell"]}
SHAPES = {
    "a rectangle": (rectangle(), BB),
    "a rectangle that was turned": (rectangle(rotation=90), [2, -9, 22, 1]),
    "a polygon": (polygon((1, 2), (21, 2), (11, 12)), BB),
    "an ellipse": ({"type": "ellipselabels", **SIZE, "value": ELLIPSE}, BB),
}


@pytest.mark.parametrize(("shape", "bb"), SHAPES.values(), ids=SHAPES)
def test_a_shape_of_label_studio(shape, bb, tmp_path):
    data = label_studio(tmp_path, task(shape))
    assert isinstance(data, LabelStudioDataset)
    np.testing.assert_allclose(data[0][1], [bb], atol=1e-5)
    assert data.label_names == ("cell",)


@pytest.mark.parametrize(
    "address",
    ["/data/local-files/?d=photos/my%20photo.jpg", "s3://photos/my photo.jpg", "https://x.y/my%20photo.jpg?a=b.c"],
)
def test_json_min(address, tmp_path):
    content = {"created_at": "2024-01-01T00:00:00.1Z", "photo": address, "id": 1, "annotator": 1}
    shapes = [{**SIZE, **rectangle()["value"]}]
    data = label_studio(tmp_path, {**content, "label": shapes}, image="images/my photo.jpg")
    np.testing.assert_allclose(data[0][1], [BB], atol=1e-5)


def test_what_label_studio_has_no_box_of_is_counted(tmp_path):
    turned = {**rectangle(), "image_rotation": 90}
    shapes = [turned, rectangle(rectanglelabels=[]), {"type": "choices", "value": {"choices": ["a"]}}]
    skipped = [{"was_cancelled": True, "result": [rectangle()]}]
    others = [
        task(image=f"{i}.jpg", annotations=value) for i, value in enumerate((skipped, 1.5, [{"result": 3}]), start=1)
    ]
    data = label_studio(tmp_path, task(*shapes, rectangle(), {"value": None}), *others)
    assert len(data) == 1
    np.testing.assert_allclose(data[0][1], [BB], atol=1e-5)
    assert data.left_out.counts == {"shapes without a box": 3, "images without an annotation": 3}


def test_what_is_not_label_studios_is_refused(tmp_path):
    with pytest.raises(DataError, match="every task must have an image of its own"):
        label_studio(tmp_path, task(rectangle()), task(rectangle()))
    with pytest.raises(DataError, match=r"export\.json: must be COCO's instances"):
        label_studio(tmp_path, {"text": "no task"})


def labelme(file, shapes, image="0.jpg", **more):
    content = {"version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    write(file, {**content, "imageHeight": 64, "imageWidth": 96, **more})


def labelme_shape(kind, *points, label="cell", **more):
    return {"label": label, "points": [list(point) for point in points], "shape_type": kind, "group_id": None, **more}


LABELME = {
    "a box": ([labelme_shape("rectangle", (21, 12), (1, 2))], [BB]),
    "a polygon": ([labelme_shape("polygon", (1, 2), (21, 2), (11, 12))], [BB]),
    "a circle": ([labelme_shape("circle", (11, 12), (11, 22))], [[2, 1, 22, 21]]),
    "a mask": ([labelme_shape("mask", (1, 2), (21, 12), mask="eA==")], [BB]),
    "a box that was turned": ([labelme_shape("rotation", (1, 7), (11, 2), (21, 7), (11, 12))], [BB]),
    "an object in two parts": (
        [labelme_shape("rectangle", *corners, group_id=3) for corners in (((1, 2), (4, 5)), ((11, 10), (21, 12)))],
        [BB],
    ),
    "two objects": ([labelme_shape("rectangle", (1, 2), (21, 12))] * 2, [BB, BB]),
}


@pytest.mark.parametrize(("shapes", "bbox"), LABELME.values(), ids=LABELME)
def test_shapes_of_labelme(shapes, bbox, tmp_path):
    picture(tmp_path / "0.jpg")
    labelme(tmp_path / "0.json", shapes)
    data = open_dataset(tmp_path)
    assert isinstance(data, LabelMeDataset)
    assert data.label_names == ("cell",)
    np.testing.assert_allclose(data[0][1], bbox)
    assert not data.left_out.counts


@pytest.mark.parametrize(
    ("file", "image", "path"),
    [
        ("0.json", "images/0.jpg", "0.jpg"),
        ("labels/0.json", "images/0.jpg", "..\\images\\0.jpg"),
        ("train/0.json", "train/0.jpg", "/home/them/0.jpg"),
    ],
)
def test_an_image_of_labelme_is_found(file, image, path, tmp_path):
    picture(tmp_path / image)
    labelme(tmp_path / file, LABELME["a box"][0], path)
    assert open_dataset(tmp_path)[0][1].tolist() == [BB]


def test_what_labelme_has_no_box_of_is_counted(tmp_path):
    for name in "0123":
        picture(tmp_path / f"{name}.jpg")
    line = labelme_shape("line", (1, 2), (3, 4))
    bad = [line, labelme_shape("polygon", (1, 2)), labelme_shape("rectangle", (1, 2), (3, "4")), None, {"label": "x"}]
    bad.append(labelme_shape(["polygon"], (1, 2), (3, 4)))
    labelme(tmp_path / "0.json", [*bad, *LABELME["a box"][0], labelme_shape("circle", (1, 2), (3, 4), label=" ")])
    labelme(tmp_path / "1.json", [], "1.jpg", imageHeight=None)
    (tmp_path / "2.json").write_text('{"shapes": 3}')
    data = open_dataset(tmp_path)
    assert [data[i][1].tolist() for i in range(2)] == [[BB], []]
    assert len(data) == 2
    assert data.left_out.counts == {
        "shapes without a box": 7,
        "images with an annotation that cannot be read": 1,
        "images without an annotation": 1,
    }


def test_a_value_does_not_make_a_json_labelmes(tmp_path):
    picture(tmp_path / "0.jpg")
    instances = {
        "images": [{"id": 1, "file_name": "0.jpg", "height": 64, "width": 96}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 1, 10, 20], "area": 200, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cell", "supercategory": "shapes"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    assert open_dataset(tmp_path)[0][1].tolist() == [[1, 2, 21, 12]]


def test_two_files_of_labelme_of_one_image(tmp_path):
    picture(tmp_path / "0.jpg")
    for name in "01":
        labelme(tmp_path / f"{name}.json", LABELME["a box"][0])
    data = open_dataset(tmp_path)
    assert len(data) == 1
    assert data.left_out.omissions == [f"{tmp_path / '1.json'}: is of 0.jpg, and so is another file: left out"]
