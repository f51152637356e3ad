import numpy as np
import pytest
from chainercv.datasets import voc_bbox_label_names
from PIL import Image

from chainfpn.datasets import DataError, VOCDataset

DOG, PERSON = voc_bbox_label_names.index("dog"), voc_bbox_label_names.index("person")


def test_examples(voc):
    dataset = VOCDataset(voc)
    assert (len(dataset), dataset.label_names) == (2, voc_bbox_label_names)
    assert dataset.available_keys == ("img", "bbox", "label", "difficult")
    img, bbox, label = dataset[0]
    assert img.shape == (3, 10, 20)
    assert (bbox.dtype, label.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(bbox, [[1, 0, 10, 20]])
    np.testing.assert_array_equal(label, [DOG])
    assert [value.shape for value in dataset[1]] == [(3, 16, 8), (0, 4), (0,)]
    assert dataset.file_name(0) == str(voc / "JPEGImages" / "000001.jpg")
    assert dataset.size(0) == (10, 20)


def test_difficult_objects_if_asked_for(voc):
    bbox, label, difficult = VOCDataset(voc, use_difficult=True).read(0, ("bbox", "label", "difficult"))
    np.testing.assert_array_equal(bbox, [[1, 0, 10, 20], [4.5, 4, 9, 6]])
    np.testing.assert_array_equal(label, [DOG, PERSON])
    np.testing.assert_array_equal(difficult, [False, True])


def test_split_and_names(voc):
    assert [len(bbox) for bbox in VOCDataset(voc, "val").slice[:, "bbox"]] == [0]
    assert [len(bbox) for bbox in VOCDataset(voc, without=["000002"]).slice[:, "bbox"]] == [1]


def test_names_of_ones_own(voc):
    path = voc / "Annotations" / "000001.xml"
    path.write_text(path.read_text().replace("dog", "wolf"))
    assert VOCDataset(voc).label_names == ("person", "wolf")
    assert VOCDataset(voc, "val").label_names == ("person", "wolf")
    dataset = VOCDataset(voc, label_names=["cat", "wolf"])
    assert (dataset.label_names, dataset[0][2].tolist()) == (("cat", "wolf"), [1])


def replace(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


BROKEN = {
    "no XML": (replace("</annotation>", ""), "is not XML"),
    "other bytes": (lambda path: path.write_bytes(b"\xff\xfe\xff"), "is not XML"),
    "unknown encoding": (lambda path: path.write_text('<?xml version="1.0" encoding="x"?><a/>'), "is not XML"),
    "missing": (lambda path: path.unlink(), "cannot be read"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_annotation_is_named(voc, damage, message):
    path = voc / "Annotations" / "000002.xml"
    damage(path)
    (voc / "ImageSets" / "Main" / "val.txt").write_text("000001\n000002\n")
    dataset = VOCDataset(voc, "val")
    for _ in range(2):
        with pytest.raises(DataError, match=rf"000002\.xml: {message}"):
            dataset[1]
    assert len(dataset[0][1]) == 1


BAD_OBJECTS = {
    "no box": ("ymin", "top", "an object without a bndbox of xmin", "objects without a box of four numbers"),
    "words": ("<ymin>2", "<ymin>two", "an object without a bndbox of xmin", "objects without a box of four numbers"),
    "huge": ("<ymin>2", "<ymin>1e300", "an object without a bndbox of xmin", "objects without a box of four numbers"),
    "no bndbox": ("bndbox", "polygon", "an object without a bndbox of xmin", "objects without a box of four numbers"),
    "no name": ("dog", " ", "an object without a name", "objects without a name"),
}


@pytest.mark.parametrize(("old", "new", "message", "reason"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_bad_object_costs_the_object(voc, old, new, message, reason):
    path = voc / "Annotations" / "000001.xml"
    text = path.read_text()
    good = text[text.index("<object>") : text.index("</object>") + 9]
    path.write_text(text.replace(good, good + good.replace(old, new)))
    dataset = VOCDataset(voc)
    np.testing.assert_array_equal(dataset[0][1], [[1, 0, 10, 20]])
    assert dataset.left_out.counts == {reason: 1, "difficult objects": 1, "images without an annotation": 1}
    assert any(f"000001.xml: has {message}" in omission for omission in dataset.left_out.omissions)


def test_what_has_no_partner_is_counted(voc):
    (voc / "JPEGImages" / "000002.jpg").unlink()
    dataset = VOCDataset(voc, use_difficult=True)
    assert len(dataset) == 1
    assert dataset.left_out.omissions == [
        f"{voc}/JPEGImages/000003.jpg: has no annotation: left out",
        f"{voc}/Annotations/000002.xml: has no image: left out",
    ]
    assert dataset.left_out.counts == {"images without an annotation": 1, "annotations without an image": 1}


def test_labels_must_be_of_objects(voc):
    with pytest.raises(DataError, match=r"VOC2007: has no category 'Dog'; it has dog, person$"):
        VOCDataset(voc, label_names=["Dog"])
    with pytest.raises(DataError, match=r"two of its names of labels have one name, 'dog'"):
        VOCDataset(voc, label_names=["dog", "dog"])
    assert VOCDataset(voc, label_names=["person"]).left_out.counts["objects of other categories"] == 1
    (voc / "Annotations" / "000001.xml").write_text("<annotation/>")
    with pytest.raises(DataError, match=r"VOC2007: no annotation has an object, so there is no category to learn"):
        VOCDataset(voc)


def test_two_images_of_one_name_are_an_error(voc):
    Image.new("RGB", (20, 10)).save(voc / "JPEGImages" / "000001.png")
    with pytest.raises(DataError, match=r"images have one name, '000001' \('000001\.jpg' and '000001\.png'\)"):
        VOCDataset(voc)


@pytest.mark.parametrize("folders", [("JPEGImages",), ("JPEGImages", "Annotations")])
def test_images_and_annotations_may_be_in_folders_within_theirs(folders, voc):
    for folder in folders:
        (voc / folder / "first").mkdir()
        for path in (voc / folder).glob("000001.*"):
            path.rename(path.parent / "first" / path.name)
    data = VOCDataset(voc)
    assert data.file_name(0) == str(voc / "JPEGImages" / "first" / "000001.jpg")
    assert data[0][1].tolist() == [[1, 0, 10, 20]]
    assert len(data) == 2


@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_two_folders_may_not_have_one_name(kind, voc):
    (path,) = voc.rglob({"images": "000001.jpg", "annotations": "000001.xml"}[kind])
    (path.parent / "b").mkdir()
    (path.parent / "b" / path.name).write_bytes(path.read_bytes())
    shown = f"'{path.name}' and 'b/{path.name}'"
    with pytest.raises(DataError, match=f"VOC2007: two of its {kind} have one name, '000001' .{shown}"):
        VOCDataset(voc)


def test_the_encoding_is_what_the_xml_declares(voc):
    path = voc / "Annotations" / "000001.xml"
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + path.read_text().replace("dog", "K\u00e4fer")
    path.write_bytes(text.encode("latin-1"))
    assert VOCDataset(voc).label_names == ("K\u00e4fer", "person")


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("GBK", "\u7ec6\u80de"),
        ("Shift_JIS", "\u7d30\u80de"),
        ("EUC-KR", "\uc138\ud3ec"),
        ("windows-1251", "\u043a\u043e\u0442"),
    ],
)
def test_encodings_of_several_bytes_a_letter(encoding, name, voc):
    path = voc / "Annotations" / "000001.xml"
    text = f"\n<?xml version='1.0' encoding='{encoding}' standalone='yes'?>" + path.read_text().replace("dog", name)
    path.write_bytes(text.encode(encoding))
    assert sorted(VOCDataset(voc).label_names) == sorted((name, "person"))


def test_other_spellings(voc):
    path = voc / "Annotations" / "000001.xml"
    path.with_suffix(".XML").write_text(path.read_text().replace(">1</difficult>", "> True</difficult>"))
    path.unlink()
    dataset = VOCDataset(voc)
    assert (len(dataset), len(dataset[0][1])) == (2, 1)
    assert dataset.left_out.counts == {"difficult objects": 1, "images without an annotation": 1}


def test_data_without_an_object_are_refused_with_the_reason(voc):
    path = voc / "Annotations" / "000001.xml"
    path.write_text(path.read_text().replace("bndbox", "polygon"))
    message = r"no annotation has an object, .* \(.*000001\.xml: has an object without a bndbox of xmin"
    with pytest.raises(DataError, match=message):
        VOCDataset(voc)
    for path in (voc / "Annotations").iterdir():
        path.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"no annotation has an object, .* \(.*000001\.xml: is not XML"):
        VOCDataset(voc)


def test_a_list_may_have_blanks_in_names_and_a_column_of_a_category(voc):
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        (voc / folder / f"000002.{suffix}").rename(voc / folder / f"my photo 1.{suffix}")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("my photo 1\n000001  -1\n")
    assert [path[-14:] for path in map(VOCDataset(voc, "val").file_name, (0, 1))] == [
        "my photo 1.jpg",
        "ges/000001.jpg",
    ]


def test_a_line_twice_is_an_error(voc):
    (voc / "ImageSets" / "Main" / "val.txt").write_text("000001\n000002\n000001\n")
    with pytest.raises(DataError, match=r"val\.txt: two of its lines have one image, '000001'"):
        VOCDataset(voc, "val")


def test_what_is_not_there_is_an_error(voc, tmp_path):
    with pytest.raises(DataError, match=r"test\.txt: cannot be read \(No such file or directory\)"):
        VOCDataset(voc, "test")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("000009 1\n")
    with pytest.raises(DataError, match=r"val\.txt: there is no image 000009 in .*JPEGImages"):
        VOCDataset(voc, "val")
    with pytest.raises(DataError, match="has no folder JPEGImages"):
        VOCDataset(tmp_path)
