"""Images with an EXIF orientation, whose annotations count pixels as stored or upright."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image, ImageOps

from chainfpn.datasets import (
    COCODataset,
    ConcatDataset,
    DataError,
    PennFudanDataset,
    Subset,
    ValidatedDataset,
    VOCDataset,
)
from chainfpn.datasets._left_out import Omission
from chainfpn.images import read_image, to_array

#: Of the image as stored, 12 high and 20 wide: y0, x0, y1, x1.
BOX = (2, 3, 7, 15)
ORIENTATIONS = range(1, 9)


def save(path, orientation, box=BOX):
    """Write an image that is white in a box and black elsewhere, without loss."""
    pixels = np.zeros((12, 20, 3), dtype=np.uint8)
    pixels[box[0] : box[2], box[1] : box[3]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))


def put_exif_behind_the_pixels(path):
    content = path.read_bytes()
    begin = content.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
    path.write_bytes(content[:begin] + content[end:-12] + content[begin:end] + content[-12:])  # IEND is the last


def coco(folder, box, file="a.png", **size):
    """Return a data set of one image, whose object has the outline of its box."""
    y0, x0, y1, x1 = box
    outline = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": outline}
    images, categories = [{"id": 1, "file_name": file, **size}], [{"id": 1, "name": "white"}]
    (folder / "a.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": [entry]}))
    return COCODataset(folder / "a.json", folder)


def assert_on_white(dataset, path):
    """Check that the pixels are those that ``chainfpn detect`` sees, and that box and mask cover what is white."""
    img, bbox, mask = dataset.read(0, ("img", "bbox", "mask"))
    np.testing.assert_array_equal(img, to_array(read_image(path)))
    assert dataset.size(0) == img.shape[1:] == mask.shape[1:]
    y, x = np.nonzero(img[0])
    np.testing.assert_array_equal(bbox, [[y.min(), x.min(), y.max() + 1, x.max() + 1]])
    np.testing.assert_array_equal(mask[0], img[0] > 0)
    np.testing.assert_array_equal(dataset.read(0, ["bbox"])[0], bbox)
    np.testing.assert_array_equal(dataset.read(0, ["mask"])[0], mask)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("size", [{}, {"height": 12, "width": 20}])
def test_annotations_of_stored_pixels_are_turned_with_the_image(orientation, size, tmp_path):
    save(tmp_path / "a.png", orientation)
    dataset = coco(tmp_path, BOX, **size)
    assert_on_white(dataset, tmp_path / "a.png")
    assert_on_white(Subset(ConcatDataset(dataset, dataset), [1]), tmp_path / "a.png")


@pytest.mark.parametrize("file", ["a.tif", "a.webp", "late.png"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_every_kind_of_file_says_how_it_is_turned(orientation, file, tmp_path):
    """Those of a TIFF Pillow turns by itself; EXIF may stand behind the pixels of a PNG."""
    path = tmp_path / file
    save(path, orientation)
    if file == "late.png":
        put_exif_behind_the_pixels(path)
    assert_on_white(coco(tmp_path, BOX, file), path)
    assert_on_white(coco(tmp_path, BOX, file, height=12, width=20), path)
    if orientation >= 5:
        y, x = np.nonzero(to_array(read_image(path))[0])
        upright = (y.min().item(), x.min().item(), y.max().item() + 1, x.max().item() + 1)
        assert_on_white(coco(tmp_path, upright, file, height=20, width=12), path)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_of_the_upright_image_stay(orientation, tmp_path):
    save(tmp_path / "a.png", orientation)
    with Image.open(tmp_path / "a.png") as image:
        y, x = np.nonzero(np.asarray(ImageOps.exif_transpose(image))[:, :, 0])
    dataset = coco(
        tmp_path, (y.min().item(), x.min().item(), y.max().item() + 1, x.max().item() + 1), height=20, width=12
    )
    assert_on_white(dataset, tmp_path / "a.png")


VOC = """<annotation><size><width>{}</width><height>{}</height></size><object><name>white</name>
<bndbox><xmin>4</xmin><ymin>3</ymin><xmax>15</xmax><ymax>7</ymax></bndbox></object></annotation>"""


def voc(folder, width, height, orientation=6):
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir()
    save(folder / "JPEGImages" / "a.png", orientation)
    (folder / "Annotations" / "a.xml").write_text(VOC.format(width, height))
    return VOCDataset(folder)


@pytest.mark.parametrize(
    ("width", "height", "shape", "bb"),
    [
        (20, 12, (20, 12), (3, 5, 15, 10)),
        (12, 20, (20, 12), (2, 3, 7, 15)),
        (0, 0, (20, 12), (3, 5, 15, 10)),
        ("", "x", (20, 12), (3, 5, 15, 10)),
        ("1e999", 12, (20, 12), (3, 5, 15, 10)),
    ],
)
def test_the_size_in_vocs_xml_decides(width, height, shape, bb, tmp_path):
    img, bbox, _ = voc(tmp_path, width, height)[0]
    assert img.shape[1:] == shape
    np.testing.assert_array_equal(bbox, [bb])


def test_an_image_of_neither_size_is_left_out_by_every_reader(tmp_path, penn_fudan):
    (tmp_path / "voc").mkdir()
    save(tmp_path / "a.png", 6)
    path = penn_fudan / "Annotation" / "b.txt"
    path.write_text(path.read_text().replace("12 x 10", "24 x 20"))
    sets = {
        "12x21": coco(tmp_path, BOX, height=12, width=21),
        "24x40": voc(tmp_path / "voc", 40, 24),
        "20x24": PennFudanDataset(penn_fudan, names=["b"]),
    }
    for size, dataset in sets.items():
        for read in (dataset.size, dataset.get_image):
            with pytest.raises(DataError, match=rf"\.png: must be {size} pixels high and wide as annotated, got \(1"):
                read(0)
        reports = []
        validated = ValidatedDataset(dataset, reports.append)
        with pytest.raises(DataError, match="neither this nor any other"):
            validated[0]
        assert [report.reason for report in reports] == ["images of another size than annotated"]
        assert validated.left_out.counts == {"images of another size than annotated": 1}


def test_a_broken_header_is_named(tmp_path):
    dataset = coco(tmp_path, BOX)
    for content, message in ((None, "there is no such file"), (b"no image", "is not an image")):
        if content is not None:
            (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(DataError, match=rf"a\.png: {message}"):
            dataset.size(0)
    np.testing.assert_array_equal(dataset.read(0, ["bbox"])[0], [BOX])


def test_a_sentence_travels_with_its_reason():
    sentence = pickle.loads(pickle.dumps(Omission("a.png: is bad", "bad images")))
    assert (sentence, sentence.reason) == ("a.png: is bad: left out", "bad images")
