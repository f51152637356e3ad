import io
import pathlib
from types import SimpleNamespace

import pytest

from chainfpn.cli.errors import CommandError
from chainfpn.cli.output import complete_file, json_output, writing_errors
from chainfpn.cli.results import Table, picture_paths, shortened_path
from chainfpn.cli.sources import Source

FOUND = {"bbox": [14.25, 74.0, 510.0, 379.5], "label": 0, "name": "person", "score": 0.947}


def record(file, *detections):
    return {"file": file, "width": 640, "height": 480, "detections": list(detections)}


def test_the_table_is_aligned():
    table = Table(["a.jpg", "longer/name.jpg"], ["person", "traffic light"])
    lines = [table.header(), *table.lines(record("a.jpg", FOUND)), *table.lines(record("longer/name.jpg"))]
    assert lines == [
        "image            object          score   y_min   x_min   y_max   x_max",
        "a.jpg            person           0.95    14.2    74.0   510.0   379.5",
        "longer/name.jpg  -",
    ]


def test_long_paths_are_shortened(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert shortened_path(str(tmp_path / "a" / "b.jpg")) == "a/b.jpg"
    assert shortened_path("/home/me/b.jpg") == "~/b.jpg"
    assert shortened_path("/data/" + "x" * 60) == "..." + "x" * 37


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with complete_file(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def fail():
        with complete_file(path) as file:
            file.write("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with complete_file(tmp_path / "x", "wb") as file:
        file.write(b"\0")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*nowhere/x\.json'"),
        complete_file(tmp_path / "nowhere" / "x.json"),
    ):
        pass


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError), complete_file(tmp_path / "x"):
        pass


def names(out, *images):
    return list(map(str, picture_paths(pathlib.Path(out), [Source(str(image)) for image in images])))


def test_jpeg_stays_jpeg_and_the_rest_becomes_png():
    assert names("o", "a.jpg", "b.JPEG", "c.png", "d.webp", "e", "f.mov", "http://x/y/g.jpg?a=b.png", "stdin") == [
        "o/a_detected.jpg",
        "o/b_detected.JPEG",
        "o/c_detected.png",
        "o/d_detected.png",
        "o/e_detected.png",
        "o/f_detected.mp4",
        "o/g_detected.jpg",
        "o/stdin_detected.png",
    ]


def test_images_of_the_same_name_get_pictures_of_their_own():
    assert names("o", "1/a.jpg", "2/a.jpg", "3/A.JPG", "1/a.jpg") == [
        "o/a_detected.jpg",
        "o/a_detected_2.jpg",
        "o/A_detected_3.JPG",
        "o/a_detected_4.jpg",
    ]


def test_no_image_is_overwritten():
    assert names("photos", "photos/a.jpg", "photos/a_detected.jpg") == [
        "photos/a_detected_2.jpg",
        "photos/a_detected_detected.jpg",
    ]


def test_no_image_is_overwritten_through_a_link(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    chosen = names(tmp_path / "link", tmp_path / "photos" / "a_detected.jpg", tmp_path / "photos" / "a.jpg")
    assert chosen[1].endswith("a_detected_2.jpg")


def test_json_that_cannot_be_written_is_named_whatever_else_is_written_meanwhile():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    arguments = SimpleNamespace(json="-", stdout=Full())
    named = pytest.raises(CommandError, match=r"^-: cannot be written \(No space left on device\)$")
    with named, json_output(arguments) as write, writing_errors("results.json"):
        write({"AP": 1.0})
