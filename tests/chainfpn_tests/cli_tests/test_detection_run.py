import dataclasses
import json
import pathlib
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from chainfpn.cli.detection_run import MAX_WORKERS, RunOptions, count_workers, detect_all
from chainfpn.cli.errors import CommandError
from chainfpn.cli.sources import Source
from chainfpn.images import read_image
from chainfpn.links import Detections


class Detector:
    """Finds what is bright, if its score is high enough."""

    n_fg_class = 2
    class_ids = (1, 44)
    label_names = ("lamp", "moon")
    score_thresh = None
    xp = np
    n_seen = 0

    def detect(self, imgs):
        return [self._find(img, len(imgs)) for img in imgs]

    def _find(self, img, n):
        if img.shape[1:] == (7, 7):
            raise MemoryError
        self.n_seen = max(self.n_seen, n)
        y, x = np.nonzero(img.mean(axis=0) > 200)
        if len(y) == 0:
            return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32))
        bbox = np.array([[y.min(), x.min(), y.max() + 1, x.max() + 1]] * 2, dtype=np.float32)
        score = np.array([0.9, 0.4], dtype=np.float32)
        keep = score > self.score_thresh
        return Detections(bbox[keep], np.array([1, 0], dtype=np.int32)[keep], score[keep])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images, which is the current one."""
    monkeypatch.chdir(tmp_path)
    night = Image.new("RGB", (200, 100))
    night.save("dark.png")
    night.paste("white", (50, 40, 90, 70))
    night.save("moon.jpg", quality=95)
    pathlib.Path("other").mkdir()
    night.save("other/moon.jpg")
    pathlib.Path("broken.jpg").write_bytes(pathlib.Path("moon.jpg").read_bytes()[:400])
    return tmp_path


def run(*images, out="out", detector=None, **options):
    sources = [Source(image) for image in images]
    return detect_all(detector or Detector(), sources, RunOptions(pathlib.Path(out), **options))


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def test_table_picture_and_json_say_the_same(folder, capsys):
    assert run("moon.jpg", "dark.png", json="found.json") == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == [
        "image     object   score   y_min   x_min   y_max   x_max",
        "moon.jpg  moon      0.90    40.0    50.0    70.0    90.0",
        "dark.png  -",
        "2 pictures written to out",
    ]
    assert errors == ""
    moon = {"bbox": [40.0, 50.0, 70.0, 90.0], "label": 1, "name": "moon", "score": float(np.float32(0.9))}
    assert json.loads(pathlib.Path("found.json").read_text()) == [
        {"file": "moon.jpg", "width": 200, "height": 100, "detections": [moon]},
        {"file": "dark.png", "width": 200, "height": 100, "detections": []},
    ]
    picture = np.asarray(read_image("out/moon_detected.jpg"))
    assert picture.shape == (100, 200, 3)
    assert np.ptp(picture[60, 50]) > 100  # the box has a colour
    assert read_image("out/dark_detected.png").size == (200, 100)


def test_the_threshold_is_the_one_asked_for(folder, capsys):
    assert run("moon.jpg", score=0.1) == 0
    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()[1:3]] == [
        ["moon", "0.90"],
        ["lamp", "0.40"],
    ]


def test_a_bad_image_is_named_and_the_rest_goes_on(folder, capsys):
    assert run("broken.jpg", "nowhere.jpg", "moon.jpg", json="found.json") == 1
    output, errors = capsys.readouterr()
    assert [line.split(": ")[0] for line in errors.splitlines()] == ["broken.jpg", "nowhere.jpg"]
    assert "picture written to out/moon_detected.jpg" in output
    assert [record["file"] for record in json.loads(pathlib.Path("found.json").read_text())] == ["moon.jpg"]
    assert [path.name for path in pathlib.Path("out").iterdir()] == ["moon_detected.jpg"]


def test_an_image_too_large_for_the_device_is_named(folder, capsys):
    Image.new("RGB", (7, 7)).save("large.png")
    assert run("large.png", "dark.png") == 1
    assert capsys.readouterr().err == "large.png: is too large for the memory of the device\n"


def test_images_stay_as_they_are_even_in_their_own_folder(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert run("moon.jpg", "other/moon.jpg", "dark.png", out=".") == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    new = {path.name for path in folder.iterdir()} - {path.name for path in before}
    assert new == {"moon_detected.jpg", "moon_detected_2.jpg", "dark_detected.png", "other"}


def test_a_second_run_replaces_its_pictures(folder):
    for _ in range(2):
        run("moon.jpg")
    assert [path.name for path in pathlib.Path("out").iterdir()] == ["moon_detected.jpg"]


def test_labels_without_names_are_numbers(folder, capsys):
    detector = Detector()
    detector.label_names = None
    run("moon.jpg", detector=detector)
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "1"


class Stopping(Detector):
    """Is stopped before its third image."""

    n_images = 0

    def detect(self, imgs):
        self.n_images += len(imgs)
        if self.n_images > 2:
            raise KeyboardInterrupt
        return super().detect(imgs)


@pytest.mark.parametrize(("name", "coco"), [("found.json", False), ("found.jsonl", False), ("found.json", True)])
def test_what_is_stopped_stays_readable_and_is_resumed_to_the_same(name, coco, folder):
    images = ["moon.jpg", "broken.jpg", "dark.png", "other/moon.jpg"]
    assert run(*images, json="whole" + name, coco=coco) == 1
    with pytest.raises(KeyboardInterrupt):
        run(*images, json=name, coco=coco, detector=Stopping())
    lines = pathlib.Path(name).read_text()
    stopped = [json.loads(line) for line in lines.splitlines()] if name.endswith("l") else json.loads(lines)
    assert len(stopped) == (1 if coco else 2)
    detector = Detector()
    assert run(*images, json=name, coco=coco, resume=True, detector=detector) == 1
    assert pathlib.Path(name).read_bytes() == pathlib.Path("whole" + name).read_bytes()


@pytest.mark.parametrize("cut", [1, 3, 20, 200])
@pytest.mark.parametrize("name", ["found.json", "found.jsonl"])
def test_a_file_that_was_cut_anywhere_is_resumed(cut, name, folder):
    images = ["moon.jpg", "dark.png", "other/moon.jpg"]
    run(*images, json=name)
    whole = pathlib.Path(name).read_bytes()
    pathlib.Path(name).write_bytes(whole[:-cut])
    assert run(*images, json=name, resume=True) == 0
    assert pathlib.Path(name).read_bytes() == whole


@pytest.mark.parametrize("content", ['{"images": 3}\n', '{"images": 3}', "[1]", "no JSON\n"])
def test_what_no_run_wrote_is_not_resumed(content, folder):
    pathlib.Path("found.json").write_text(content)
    with pytest.raises(CommandError, match=r"^found\.json: is not what this --json writes, and cannot be resumed$"):
        run("moon.jpg", json="found.json", resume=True)
    assert pathlib.Path("found.json").read_text() == content


def test_resuming_a_whole_run_looks_at_the_last_image_only(folder):
    run("moon.jpg", "dark.png", json="found.json")
    detector = Stopping()
    assert run("moon.jpg", "dark.png", json="found.json", resume=True, detector=detector) == 0
    assert detector.n_images == 1


def test_json_lines(folder):
    run("moon.jpg", "dark.png", json="found.jsonl")
    records = [json.loads(line) for line in pathlib.Path("found.jsonl").read_text().splitlines()]
    run("moon.jpg", "dark.png", json="found.json")
    assert records == read("found.json")


def test_json_is_printed_in_place_of_the_table(folder, capsys):
    run("moon.jpg", "dark.png", json="-")
    printed = capsys.readouterr().out
    run("moon.jpg", "dark.png", json="found.json")
    assert printed == pathlib.Path("found.json").read_text()


def test_coco_has_results_by_number_or_file(folder):
    Image.open("moon.jpg").save("000000000139.png")
    run("moon.jpg", "dark.png", "000000000139.png", json="found.json", coco=True)
    moon = {"category_id": 44, "bbox": [50.0, 40.0, 40.0, 30.0], "score": float(np.float32(0.9))}
    assert read("found.json") == [{"image_id": "moon.jpg", **moon}, {"image_id": 139, **moon}]


def test_nothing_found_is_a_list_all_the_same(folder):
    run("dark.png", json="found.json", coco=True)
    assert read("found.json") == []


def test_only_some_names(folder, capsys):
    assert run("moon.jpg", score=0.1, names=["lamp"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:3] == ["lamp", "0.40"]
    with pytest.raises(CommandError, match=r"^--names must be of the detector's, lamp, moon, got sun$"):
        run("moon.jpg", names=["moon", "sun"])


def test_batches_find_the_same(folder, capsys):
    Image.new("RGB", (7, 7)).save("large.png")
    images = ["moon.jpg", "dark.png", "large.png", "broken.jpg", "other/moon.jpg"]
    run(*images, json="one.json")
    one_by_one = capsys.readouterr()
    detector = Detector()
    run(*images, json="three.json", batch=3, detector=detector)
    assert capsys.readouterr() == one_by_one
    assert read("three.json") == read("one.json")
    assert detector.n_seen == 3


def test_no_pictures(folder):
    run("moon.jpg", pictures=False)
    assert not pathlib.Path("out").exists()


@pytest.fixture
def video(folder):
    """A moon that rises through five frames, ten a second."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter("moon.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (200, 100))
    for y in range(5):
        frame = np.zeros((100, 200, 3), np.uint8)
        frame[60 - 10 * y : 80 - 10 * y, 50:90] = 255
        writer.write(frame)
    writer.release()
    return "moon.avi"


def test_a_video_is_written_again_frame_by_frame(video, capsys):
    cv2 = pytest.importorskip("cv2")
    assert run(video, "dark.png", json="found.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["moon.avi#0", "moon", "0.90"]
    assert lines[-1] == "2 pictures written to out"
    records = read("found.json")
    assert [(record["file"], record.get("frame")) for record in records] == [
        *(("moon.avi", i) for i in range(5)),
        ("dark.png", None),
    ]
    tops = [record["detections"][0]["bbox"][0] for record in records[:5]]
    np.testing.assert_allclose(tops, [60, 50, 40, 30, 20], atol=3)
    written = cv2.VideoCapture("out/moon_detected.mp4")
    assert written.get(cv2.CAP_PROP_FPS) == 10
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    written.release()


def test_a_video_that_was_stopped_leaves_none_and_is_resumed(video):
    run(video, "dark.png", json="whole.json")
    pathlib.Path("out/moon_detected.mp4").unlink()
    with pytest.raises(KeyboardInterrupt):
        run(video, "dark.png", json="found.json", detector=Stopping())
    assert len(read("found.json")) == 2
    assert list(pathlib.Path("out").glob("*moon*")) == []
    assert run(video, "dark.png", json="found.json", resume=True) == 0
    assert read("found.json") == read("whole.json")
    assert pathlib.Path("out/moon_detected.mp4").exists()


def test_no_video_is_named(folder, capsys):
    pathlib.Path("x.mp4").write_text("no video")
    assert run("x.mp4", "nowhere.mp4", "dark.png") == 1
    assert capsys.readouterr().err.splitlines() == [
        "x.mp4: is not a video that OpenCV can read",
        "nowhere.mp4: there is no such file",
    ]


def test_without_opencv_a_video_is_named(video, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert run(video) == 1
    assert capsys.readouterr().err == "moon.avi: a video needs OpenCV; pip install 'chainfpn[video]'\n"


def test_a_mark_has_the_colour_of_the_box_on_a_terminal_only(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    run("moon.jpg")
    assert "\x1b[38;2;135;15;255m\u25a0\x1b[0m moon" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    run("moon.jpg")
    assert "\x1b" not in capsys.readouterr().out


class Seeing(Detector):
    """Finds masks and keypoints, too."""

    def _find(self, img, n):
        found = super()._find(img, n)
        mask = np.broadcast_to(img.mean(axis=0) > 200, (len(found), *img.shape[1:]))
        point = np.full((len(found), 17, 2), 55, np.float32)
        return dataclasses.replace(found, mask=mask, point=point, point_score=np.full((len(found), 17), 9, np.float32))


def test_masks_and_keypoints_are_in_picture_and_json(folder):
    mask_utils = pytest.importorskip("pycocotools.mask")
    run("moon.jpg", json="found.json", detector=Seeing())
    ((found,),) = (record["detections"] for record in read("found.json"))
    assert found["mask"]["size"] == [100, 200]
    assert sum(found["mask"]["counts"][1::2]) == 40 * 30
    assert found["point"] == [[55.0, 55.0]] * 17
    assert found["point_score"] == [9.0] * 17
    picture = np.asarray(read_image("out/moon_detected.jpg"))
    assert np.ptp(picture[65, 85].astype(int)) > 60  # the white moon has a colour
    run("moon.jpg", json="coco.json", coco=True, detector=Seeing())
    (result,) = read("coco.json")
    assert mask_utils.area({**result["segmentation"], "counts": result["segmentation"]["counts"].encode()}) == 1200
    assert result["keypoints"] == [55.0, 55.0, 1] * 17


def test_json_that_cannot_be_written_is_named_before_any_work(folder):
    with pytest.raises(CommandError, match=r"^nowhere/found\.json: cannot be written \(No such file or directory\)$"):
        run("moon.jpg", json="nowhere/found.json")
    assert not pathlib.Path("out").exists()


def test_a_folder_that_cannot_be_made_is_named(folder):
    with pytest.raises(CommandError, match=r"^dark\.png: cannot be written \(File exists\)$"):
        run("moon.jpg", out="dark.png")


def test_a_bar_appears_on_a_terminal_only(folder, capsys, monkeypatch):
    run("moon.jpg", "dark.png")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    run("moon.jpg", "dark.png")
    output, errors = capsys.readouterr()
    assert "0/2" in errors
    assert "0/2" not in output
    run("moon.jpg")
    assert capsys.readouterr().err == ""


class Meeting(Detector):
    """Waits with its first image until another one is there."""

    def __init__(self):
        self.barrier = threading.Barrier(2)

    def detect(self, imgs):
        if self.barrier is not None:
            self.barrier.wait(timeout=20)
            self.barrier = None
        return super().detect(imgs)


def test_several_workers_write_the_same(video, capsys):
    images = ["moon.jpg", "broken.jpg", video, "dark.png", "other/moon.jpg", "nowhere.jpg"]
    assert run(*images, json="found.json", out="one") == 1
    one = capsys.readouterr()
    written = {path.name: path.read_bytes() for path in pathlib.Path("one").iterdir()}
    expected = pathlib.Path("found.json").read_bytes()
    assert run(*images, json="found.json", out="one", workers=3, detector=Meeting()) == 1
    assert capsys.readouterr() == one
    assert pathlib.Path("found.json").read_bytes() == expected
    assert {path.name: path.read_bytes() for path in pathlib.Path("one").iterdir()} == written


def test_a_picture_that_cannot_be_written_ends_the_run(folder):
    pathlib.Path("out/dark_detected.png").mkdir(parents=True)
    with pytest.raises(CommandError, match=r"^out/dark_detected\.png: cannot be written \(Is a directory\)$"):
        run("moon.jpg", "dark.png", "other/moon.jpg", json="found.json", workers=2)
    assert [record["file"] for record in read("found.json")] == ["moon.jpg"]


def test_a_gpu_works_for_one_thread_at_a_time(folder):
    class OnGpu(Detector):
        xp, n_inside, used = None, 0, 0

        @property
        def device(self):
            return self

        def use(self):
            self.used += 1

        def detect(self, imgs):
            self.n_inside += 1
            time.sleep(0.01)
            assert self.n_inside == 1
            self.n_inside -= 1
            return super().detect(imgs)

    detector = OnGpu()
    assert run("moon.jpg", "dark.png", "other/moon.jpg", detector=detector, workers=3) == 0
    assert detector.used == 3


@pytest.mark.parametrize(
    ("sources", "batch", "n_threads", "expected"),
    [
        (["a.jpg"], 1, 8, 1),
        (["a.jpg", "b.jpg", "c.jpg"], 1, 2, 2),
        (["a.jpg", "b.jpg", "c.jpg"], 2, 8, 2),
        (["a.jpg"] * 100, 1, 64, MAX_WORKERS),
        (["a.mp4"], 1, 2, 2),
        (["a.jpg", "b.jpg"], 1, 1, 1),
    ],
)
def test_there_are_no_more_workers_than_batches_or_threads(sources, batch, n_threads, expected):
    assert count_workers([Source(name) for name in sources], batch, n_threads) == expected
