import argparse
import shutil
from types import SimpleNamespace

import chainer
import numpy as np
import pytest

from chainfpn.cli import detector as cli_detector
from chainfpn.cli.detector import choose_device, load_default_detector, load_detector
from chainfpn.cli.errors import CommandError
from chainfpn.cli.options import device
from chainfpn.data import photograph_path, weights_path
from chainfpn.images import read_image, to_array


def pretend(monkeypatch, count):
    """Let Chainer see CuPy and so many devices; None is a machine without a driver."""

    class CUDARuntimeError(Exception):
        pass

    def get_device_count():
        if count is None:
            raise CUDARuntimeError("no driver")
        return count

    runtime = SimpleNamespace(getDeviceCount=get_device_count, CUDARuntimeError=CUDARuntimeError)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(cli_detector, "cuda", SimpleNamespace(available=True, cupy=cupy))


def test_cpu():
    assert choose_device("cpu") == chainer.get_device("@numpy")


@pytest.mark.parametrize(("count", "said"), [(None, 0), (0, 0), (2, 2)])
def test_a_device_that_is_not_there_is_named(monkeypatch, count, said):
    pretend(monkeypatch, count)
    message = f"^--device cuda:2: the number must be below that of the CUDA devices here, {said}$"
    with pytest.raises(CommandError, match=message):
        choose_device("cuda:2")


def test_missing_cupy_is_named(monkeypatch):
    monkeypatch.setattr(cli_detector, "cuda", SimpleNamespace(available=False))
    with pytest.raises(
        CommandError, match=r"^--device cuda: CuPy is missing; docs/install\.md says how to install it$"
    ):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:1.5", "cuda:one", "cpu:0"], ids=repr)
def test_another_word_is_refused(name):
    with pytest.raises(argparse.ArgumentTypeError, match=r"^must be cpu or cuda:N, got "):
        device(name)


@pytest.mark.gpu
def test_the_gpu_finds_what_the_cpu_finds():
    detector = load_detector(weights_path())
    detector.preprocess.min_size = 256
    img = to_array(read_image(photograph_path()))
    on_cpu = detector.predict([img])
    detector.to_device(choose_device("cuda:0"))
    on_gpu = detector.predict([img])
    for (ours,), (expected,), tolerance in zip(on_gpu, on_cpu, (0.05, 0, 1e-4), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


@pytest.fixture
def zoo(monkeypatch):
    """A zoo whose one animal is the bundled detector; what is asked of it goes into a list."""
    from weights_convert import zoo

    asked = []
    monkeypatch.setattr(zoo, "is_cached", lambda name: asked.append("at hand") or False)
    monkeypatch.setattr(zoo, "remote_size", lambda name: asked.append("size") or 167502836)
    monkeypatch.setattr(zoo, "fetch", lambda name, **options: asked.append(("fetch", name)) or str(weights_path()))
    monkeypatch.setattr(zoo, "asked", asked, raising=False)
    return zoo


def test_a_published_detector_that_is_at_hand_is_used(zoo, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "is_cached", lambda name: True)
    assert load_default_detector()[0].n_fg_class == 1
    assert zoo.asked == [("fetch", "fasterrcnn_resnet50_fpn")]
    message = "no --weights: using fasterrcnn_resnet50_fpn, which torchvision trained on COCO\n"
    assert capsys.readouterr().err == message


def test_a_download_is_announced_with_its_size(zoo, capsys):
    load_default_detector()
    assert zoo.asked == ["at hand", "size", ("fetch", "fasterrcnn_resnet50_fpn")]
    assert capsys.readouterr().err.splitlines() == [
        f"no --weights: downloading fasterrcnn_resnet50_fpn, 168 MB, to {zoo.home()}",
        "no --weights: using fasterrcnn_resnet50_fpn, which torchvision trained on COCO",
    ]


def test_a_download_that_fails_leaves_the_bundled_detector(zoo, monkeypatch, capsys):
    def fetch(name, **options):
        raise zoo.ZooError("zoo: the connection was cut 3 times")

    monkeypatch.setattr(zoo, "fetch", fetch)
    assert load_default_detector()[0].label_names == ("person",)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "no --weights: using the bundled person detector, for zoo: the connection was cut 3 times"


def test_a_kept_file_that_is_damaged_leaves_the_bundled_detector(zoo, monkeypatch, tmp_path, capsys):
    (tmp_path / "x.npz").write_text("no archive")
    monkeypatch.setattr(zoo, "fetch", lambda name, **options: str(tmp_path / "x.npz"))
    assert load_default_detector()[0].label_names == ("person",)
    assert "x.npz: must be an .npz archive, got another kind of file" in capsys.readouterr().err


def test_a_published_name_is_fetched(zoo, capsys):
    assert load_detector("maskrcnn_resnet50_fpn_v2").n_fg_class == 1
    assert zoo.asked == ["at hand", ("fetch", "maskrcnn_resnet50_fpn_v2")]
    assert capsys.readouterr().err == f"maskrcnn_resnet50_fpn_v2: downloading to {zoo.home()}\n"


def test_a_path_goes_before_a_name(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights_path(), "fasterrcnn_resnet50_fpn")
    assert load_detector("fasterrcnn_resnet50_fpn").n_fg_class == 1
    assert zoo.asked == []


def test_neither_file_nor_name_is_said():
    message = "^yolo: there is no such file, and chainfpn models lists no weights of that name$"
    with pytest.raises(CommandError, match=message):
        load_detector("yolo")
