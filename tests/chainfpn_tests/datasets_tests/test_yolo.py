"""YOLO's yaml and texts in all the ways that people write them: the right box each, or a sentence."""

import pytest

from chainfpn.datasets import DataError, YOLODataset, open_dataset
from reference.small_files import picture, write

LINE = "0 0.5 0.5 0.25 0.5\n"
BB, NAMES = [16, 36, 48, 60], "names:\n  0: cell\n  1: egg\n"


def write_all(folder, files, images=("images/train/0.jpg",)):
    for image in images:
        picture(folder / image)
    for name, content in files.items():
        write(folder / name, content)


def one_set(folder, yaml, line=LINE, **options):
    write_all(folder, {"data.yaml": yaml, "labels/train/0.txt": line}, **options)
    return open_dataset(folder)


def objects(data, i=0):
    bbox, label = data.read(i, ["bbox", "label"])
    return [(data.label_names[k], [round(float(value)) for value in bb]) for bb, k in zip(bbox, label, strict=True)]


PLACES = {
    "a path of another machine": f"path: /home/other/y\ntrain: images/train\n{NAMES}",
    "a path of a home": f"path: ~/nowhere\ntrain: images/train\n{NAMES}",
    "a folder of another machine": f"train: /home/other/y/images/train\n{NAMES}",
    "a folder of Windows": f"train: C:\\data\\y\\images\\train\n{NAMES}",
    "Roboflow": f"train: ../images/train\nval: ''\ntest:\n{NAMES}",
    "nothing": f"path:\ntrain: images/train\nval: ~\ntest: null\n{NAMES}",
    "a list": f"train:\n- images/train\n{NAMES}",
}


@pytest.mark.parametrize("yaml", PLACES.values(), ids=PLACES)
def test_images_are_found(yaml, tmp_path):
    assert objects(one_set(tmp_path, yaml)) == [("cell", BB)]


@pytest.mark.parametrize(
    "line", ["./images/train/0.jpg", "/home/other/y/images/train/0.jpg", "data\\images\\train\\0.jpg"]
)
def test_images_of_a_list_are_found(line, tmp_path):
    write_all(tmp_path, {"train.txt": f"{line}\n{line}\n"})
    assert objects(one_set(tmp_path, f"train: train.txt\n{NAMES}")) == [("cell", BB)]


@pytest.mark.parametrize(("images", "labels"), [("Images/train", "Labels/train"), ("data/imgs", "data/labels")])
def test_folders_may_be_called_otherwise(images, labels, tmp_path):
    write_all(tmp_path, {"data.yaml": f"train: {images}\n{NAMES}", f"{labels}/0.txt": LINE}, [f"{images}/0.jpg"])
    assert objects(open_dataset(tmp_path)) == [("cell", BB)]


LABELS = {
    "from 1": ("{1: cell, 2: egg}", "1", "cell"),
    "with a gap": ("{0: cell, 7: egg}", "7", "egg"),
    "texts as numbers": ("{'0': cell, '1': egg}", "1", "egg"),
    "not in order": ("{1: egg, 0: cell}", "1", "egg"),
    "a number": ("[3, 4]", "0", "3"),
    "what YAML takes for false": ("[yes, no]", "1", "no"),
}


@pytest.mark.parametrize(("names", "label", "name"), LABELS.values(), ids=LABELS)
def test_a_label_has_the_name_of_its_number(names, label, name, tmp_path):
    data = one_set(tmp_path, f"train: images/train\nnames: {names}\n", line=LINE.replace("0", label, 1))
    assert objects(data) == [(name, BB)]


POINTS = " 0.9 0.9 2 0.1 0.1 0"


@pytest.mark.parametrize("line", [LINE, LINE.strip() + POINTS, LINE.strip() + POINTS + " 0.75"])
def test_keypoints_behind_a_box_are_no_outline(line, tmp_path):
    assert objects(one_set(tmp_path, f"train: images/train\nkpt_shape: [2, 3]\n{NAMES}", line)) == [("cell", BB)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_text_may_begin_with_a_mark(encoding, tmp_path):
    assert objects(one_set(tmp_path, f"train: images/train\n{NAMES}", LINE.encode(encoding))) == [("cell", BB)]


def test_pixels_are_no_shares(tmp_path):
    data = one_set(tmp_path, f"train: images/train\n{NAMES}", f"0 48 32 24 32\n0 0.99 0.5 0.25 0.5\n{LINE}")
    assert [bb for _, bb in objects(data)] == [[16, 83, 48, 107], BB]
    assert data.left_out.counts == {"lines that are no object": 1}


def test_a_text_that_cannot_be_read_costs_its_image_and_one_without_an_image_is_counted(tmp_path):
    write_all(
        tmp_path,
        {"labels/train/1.txt": b"\xff\x00\xff", "labels/train/2.txt": LINE, "labels/classes.txt": "cell\n\n"},
        ["images/train/0.jpg", "images/train/1.jpg"],
    )
    write_all(tmp_path, {"labels/train/0.txt": LINE}, [])
    data = open_dataset(tmp_path)
    assert isinstance(data, YOLODataset)
    assert [data.file_name(i) for i in range(len(data))] == [str(tmp_path / "images" / "train" / "0.jpg")]
    assert data.left_out.omissions == [
        f"{tmp_path / 'labels' / 'train' / '1.txt'}: is not a text file in UTF-8: left out",
        f"{tmp_path / 'labels' / 'train' / '2.txt'}: has no image: left out",
    ]


@pytest.mark.parametrize("names", ["train/_darknet.labels", "train/classes.txt", "train/labels/classes.txt"])
def test_a_folder_of_a_split_may_have_the_names(names, tmp_path):
    write_all(tmp_path, {"train/0.txt": LINE, names: "cell\n"}, ["train/0.jpg"])
    assert objects(open_dataset(tmp_path, split="train")) == [("cell", BB)]


def test_the_splits_of_a_yaml_go_before_a_list_of_names(tmp_path):
    write_all(tmp_path, {"labels/train/classes.txt": "cell\negg\n", "classes.txt": "cell\negg\n"}, ["images/val/1.jpg"])
    yaml = f"train: images/train\nval: images/val\n{NAMES}"
    write_all(tmp_path, {"data.yaml": yaml, "labels/train/0.txt": LINE})
    assert [len(open_dataset(tmp_path, split=split)) for split in ("train", "val")] == [1, 1]


WRONG = {
    "a name twice": ("[cell, cell]", r"two of its names of labels have one name, 'cell'"),
    "other keys": ("{a: cell}", r"data\.yaml: names must be texts, in a list or by their numbers, got {'a': 'cell'}"),
    "an empty name": ("[cell, '']", "names must be texts"),
    "another number": ("[cell]\nnc: 3", r"data\.yaml: nc must be the number of names, 1, got 3"),
    "half a shape": (
        "[cell]\nkpt_shape: 17",
        "kpt_shape must be a number of keypoints and one of values of each, got 17",
    ),
}


@pytest.mark.parametrize(("names", "message"), WRONG.values(), ids=WRONG)
def test_a_yaml_that_contradicts_itself_is_refused(names, message, tmp_path):
    with pytest.raises(DataError, match=message):
        one_set(tmp_path, f"train: images/train\nnames: {names}\n")


def test_what_would_teach_something_wrong_is_refused(tmp_path):
    yaml = f"train: images/train\n{NAMES}"
    twins = ["images/train/0.jpg", "images/train/0.png"]
    with pytest.raises(DataError, match=r"two of its images have one text, .*0\.txt' \('0\.jpg' and '0\.png'\)"):
        one_set(tmp_path / "twins", yaml, images=twins)
    write_all(tmp_path / "yamls", {"b.yml": yaml})
    with pytest.raises(DataError, match=r"must have one YOLO yaml, or be one itself, got b\.yml, data\.yaml"):
        one_set(tmp_path / "yamls", yaml)
    write_all(tmp_path / "names", {"classes.txt": "cell\n\negg\n"})
    with pytest.raises(DataError, match=r"classes\.txt: line 2 must be the name of a label, and is empty"):
        open_dataset(tmp_path / "names")
    write_all(tmp_path / "list", {"train.txt": "a/0.jpg\nb/0.jpg\n"}, ["0.jpg"])
    with pytest.raises(DataError, match=r"two of its lines have one image, .* \('a/0\.jpg' and 'b/0\.jpg'\)"):
        one_set(tmp_path / "list", f"train: train.txt\n{NAMES}")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    write_all(tmp_path / "empty", {"d.yaml": f"train: images\n{NAMES}"}, [])
    with pytest.raises(DataError, match=r"d\.yaml: has no image"):
        open_dataset(tmp_path / "empty")
