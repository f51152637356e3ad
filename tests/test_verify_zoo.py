"""Published files are downloaded, checked, converted and scored: here from loopback, on a COCO of one image."""

import functools
import hashlib
import http.server
import json
import threading

import chainer
import numpy as np
import pytest
import verify_zoo
from chainercv.utils import read_image
from PIL import Image

import weights_convert
from chainfpn import models, save_weights
from weights_convert.zoo import ZooError

LABELS = ["cat", "dog"]
SIDES = {"min_size": 32, "max_size": 64}


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """Serve a slim Faster R-CNN under detectron2's names, and under mmdetection's with its hash in its name."""
    folder = tmp_path_factory.mktemp("mirror")
    files = []
    for rules, ending in (("detectron2", "pkl"), ("mmdetection", "pth")):
        np.random.seed(0)
        slim = {"stages": (3,), "fpn_channels": 8, "head_channels": 8, "rules": rules}
        save_weights(folder / "ours.npz", models.fasterrcnn_resnet_fpn(18, 2, **slim))
        path = folder / f"{rules}.{ending}"
        weights_convert.convert(folder / "ours.npz", path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        name = "model_final_123456.pkl" if rules == "detectron2" else f"slim-{digest}.pth"
        meta = {"label_names": LABELS, **SIDES, "box_score_thresh": 0.0}
        files.append(verify_zoo.Published(f"{rules}/slim", f"http://nowhere/{name}", {"box": 40.2}, None, meta))
        path.rename(folder / files[-1].file)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files, folder
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def coco(mirror, tmp_path_factory):
    """Write a COCO of one image, in which the best detection of the served detectors is what there is to find."""
    _, files, served = mirror
    folder = tmp_path_factory.mktemp("coco")
    (folder / "val2017").mkdir()
    (folder / "annotations").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "val2017" / "1.png")
    weights_convert.convert(served / files[0].file, folder / "a.npz", meta=dict(files[0].meta))
    detector = models.load(folder / "a.npz")
    with chainer.using_config("train", False):
        (found,) = detector.detect([read_image(folder / "val2017" / "1.png")])
    top, left, bottom, right = map(float, found.bbox[0])
    box = [left, top, right - left, bottom - top]
    annotation = {"id": 1, "image_id": 1, "category_id": int(found.label[0]) + 1, "bbox": box, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 48}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(LABELS, 1)],
        "annotations": [annotation | {"area": box[2] * box[3], "segmentation": []}],
    }
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


def run(arguments, files):
    with pytest.raises(SystemExit) as exit_:
        verify_zoo.main(arguments, files)
    return exit_.value.code


def test_our_figure_stands_beside_the_published_one(mirror, coco, tmp_path, capsys):
    pytest.importorskip("pycocotools")
    url, files, _ = mirror
    arguments = ["--coco", str(coco), "--folder", str(tmp_path), "--mirror", url]
    assert run([*arguments, "--only", "detectron2"], files) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines()[-1] == "| detectron2/slim | 100.0 (40.2) |  |  |"
    assert errors == ""
    assert [path.name for path in tmp_path.iterdir()] == [files[0].file]  # which is not downloaded again
    assert run([*arguments[:-1], "http://127.0.0.1:9", "--only", "detectron2"], files) == 0


def test_the_hash_is_that_of_the_name(mirror, coco, tmp_path, capsys):
    url, (_, good), served = mirror
    arguments = ["--coco", str(coco), "--folder", str(tmp_path), "--mirror", url]
    bad = good._replace(url="http://nowhere/slim-01234567.pth")
    (served / bad.file).write_bytes((served / good.file).read_bytes())
    assert run(arguments, [bad]) == 1
    _, errors = capsys.readouterr()
    assert f"zoo: {bad.file} has sha256 {good.sha256}..., not 01234567...; it was removed: try again" in errors
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZooError, match=r"cannot be downloaded \(File not found\)"):
        verify_zoo.verify(good._replace(name="mmdetection/none"), coco, tmp_path, mirror=url)


def test_a_file_is_downloaded_and_its_hash_is_right(mirror, coco, tmp_path, capsys):
    pytest.importorskip("pycocotools")
    url, files, _ = mirror
    assert run(["--coco", str(coco), "--folder", str(tmp_path), "--mirror", url, "--only", "mmdetection"], files) == 0
    assert "| mmdetection/slim | " in capsys.readouterr().out


def test_every_published_detector_is_listed(capsys):
    verify_zoo.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    found = {line.partition(":")[0]: line.partition(": ")[2] for line in lines}
    assert len(found) == len(lines) > 25
    assert found["torchvision/fcos_resnet50_fpn"].endswith("/fcos_resnet50_fpn_coco-99b0c9b7.pth")
    for file in verify_zoo.published():
        assert file.figures
        assert file.sha256 or file.name.startswith("detectron2/")


def test_what_is_missing_is_said(capsys):
    assert run(["--only", "nothing"], None) == 2
    assert "no published file has 'nothing' in its name" in capsys.readouterr().err
    assert run([], None) == 2
    assert "--coco names the folder of val2017 and annotations" in capsys.readouterr().err
