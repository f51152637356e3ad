"""The zoo against a real HTTP server on loopback that serves a file made by torchvision, and misbehaves on demand."""

import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from weights_convert import torch_cache, zoo
from weights_convert.__main__ import main
from weights_convert.architectures.detectors import MOBILENET_BUILDERS
from weights_convert.architectures.networks import NETWORKS
from weights_convert.architectures.resnet import NAMED
from weights_convert_tests.test_torchvision_layouts import MODELS


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `Server.content` under every name, with ranges; cuts, delays or fails as the server says."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if self.headers["Range"] else 0
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            body = body[: len(body) // 3]
            server.cuts -= 1
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture(scope="module")
def published(torchvision_live, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    torchvision_live.run(
        "torch.save(torchvision.models.resnet18().half().state_dict(), folder / 'net.pth')", folder=folder
    )
    return (folder / "net.pth").read_bytes()


@pytest.fixture
def server(published, tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.requests, server.cuts, server.status = published, [], 0, 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("CHAINFPN_ZOO_URL", f"http://127.0.0.1:{server.server_port}/models/")
    monkeypatch.setenv("CHAINFPN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("TORCH_MODEL_ZOO", str(tmp_path / "model_zoo"))
    monkeypatch.setitem(zoo.FILES, "resnet18", f"resnet18-{hashlib.sha256(published).hexdigest()[:8]}.pth")
    yield server
    server.shutdown()
    server.server_close()


def home_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "home").iterdir() if path.suffix != ".lock")


def test_a_file_is_downloaded_converted_and_kept(server, tmp_path, capsys):
    path = zoo.fetch("resnet18")
    assert path == zoo.fetch("resnet18")
    assert [request for request, _ in server.requests] == [f"/models/{zoo.FILES['resnet18']}"]
    assert home_files(tmp_path) == [os.path.basename(path)]
    with np.load(path) as npz:
        assert npz["fc/W"].shape == (1000, 512)
    assert main(["--zoo", "resnet18"]) == 0
    text = capsys.readouterr().out
    assert "resnet18(n_class=1000)" in text
    assert path in text


def test_a_cut_download_goes_on_where_it_stopped(server):
    server.cuts = 2
    zoo.fetch("resnet18")
    first, second, third = [value for _, value in server.requests]
    assert first is None
    assert second == f"bytes={len(server.content) // 3}-"
    assert int(third[6:-1]) > int(second[6:-1])


def test_a_download_that_is_cut_again_and_again_goes_on_the_next_time(server, tmp_path):
    server.cuts = 3
    with pytest.raises(zoo.ZooError, match=r"the connection was cut 3 times; try again, it goes on at byte \d+"):
        zoo.fetch("resnet18")
    assert home_files(tmp_path) == [f"{zoo.FILES['resnet18']}.part"]
    zoo.fetch("resnet18")
    assert server.requests[-1][1].startswith("bytes=")


def test_a_wrong_hash_is_refused_and_removed(server, tmp_path):
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    with pytest.raises(zoo.ZooError, match=r"has sha256 \w{8}\.\.\., not \w{8}\.\.\.; it was removed: try again"):
        zoo.fetch("resnet18")
    assert home_files(tmp_path) == []


def test_offline_says_which_file_to_put_where(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CHAINFPN_ZOO_URL", "http://127.0.0.1:9/")
    path = tmp_path / "home" / zoo.FILES["resnet18"]
    assert main(["--zoo", "resnet18"]) == 1
    err = capsys.readouterr().err
    assert f"put the file there by hand: {path}" in err
    assert err.count("\n") == 1
    path.write_bytes(server.content)
    assert zoo.fetch("resnet18").endswith(".npz")


def test_a_wrong_file_put_there_by_hand_is_named_and_kept(server, tmp_path):
    path = tmp_path / "home" / zoo.FILES["resnet18"]
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(zoo.ZooError, match="put there by hand: replace it"):
        zoo.fetch("resnet18")
    assert path.exists()


def test_an_address_that_is_none_is_named(server, monkeypatch):
    monkeypatch.setenv("CHAINFPN_ZOO_URL", "mirror")
    with pytest.raises(zoo.ZooError, match=r"cannot be downloaded \(unknown url type"):
        zoo.fetch("resnet18")


def test_a_missing_file_is_not_asked_for_again(server):
    server.status = 404
    with pytest.raises(zoo.ZooError, match=r"cannot be downloaded \(Not Found\)"):
        zoo.fetch("resnet18")
    assert len(server.requests) == 1


def test_an_unknown_name_lists_the_known():
    with pytest.raises(OSError, match=r"zoo: there is no 'resnet19'; there are alexnet, .*, densenet121, densenet161"):
        zoo.fetch("resnet19")


FETCH = "import resource, sys; {limit}; from weights_convert import zoo; zoo.FILES['resnet18'] = {file!r}; {call}"


def run(call, limit="None"):
    code = FETCH.format(limit=limit, file=zoo.FILES["resnet18"], call=call)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(server, tmp_path):
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    call = "from weights_convert.__main__ import main; sys.exit(main(['--zoo', 'resnet18']))"
    process = run(call, limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot be written" in err
    assert err.count("\n") == 1
    assert home_files(tmp_path) == []


def test_two_processes_at_once_download_once(server, tmp_path):
    processes = [run("print(zoo.fetch('resnet18'))") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert len(server.requests) == 1
    assert len(home_files(tmp_path)) == 1


def test_a_full_disk_while_converting_leaves_nothing(tmp_path, server):
    source = tmp_path / "net.pth"
    source.write_bytes(server.content)
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    process = run(f"from weights_convert.__main__ import main; sys.exit(main([{str(source)!r}]))", limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "net.npz: cannot be written: File too large" in err
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_every_name_and_hash_is_torchvisions(torchvision_live):
    outputs = torchvision_live.run("""
        from torchvision.models import get_model_weights, list_models
        outputs["urls"] = [w.url for name in list_models() for w in get_model_weights(name)]
    """)
    urls = set(outputs["urls"].tolist())
    assert {zoo.URL + file for file in zoo.FILES.values()} <= urls
    recognized = {*NAMED.values(), *NETWORKS, *(builder for _, builder, _ in MODELS.values())}
    builders = {name.partition(":")[0] for name in zoo.FILES}
    assert builders - set(MOBILENET_BUILDERS) <= recognized
    assert builders - set(zoo.FILES) == {"regnet_y_128gf"}  # whose files are of no word that goes without saying


def test_every_published_file_of_a_model_here_has_a_name():
    from chainfpn import models

    weights = [item for model in models.MODELS.values() for item in model.weights.items()]
    published = {file.file for word, file in weights if word != "FIRST"}
    assert published == set(zoo.FILES.values())


def test_another_file_of_a_builder_goes_by_a_word(server, published, monkeypatch):
    name = f"resnet18-second-{hashlib.sha256(published).hexdigest()[:8]}"
    monkeypatch.setitem(zoo.FILES, "resnet18:imagenet_v2", f"{name}.pth")
    assert zoo.fetch("resnet18:imagenet_v2").endswith(f"{name}.npz")
    assert [request for request, _ in server.requests] == [f"/models/{name}.pth"]


def test_a_bar_is_shown_where_somebody_looks(server, capfd):
    zoo.fetch("resnet18", progress=True)
    size = len(server.content) / 1e6
    bar = capfd.readouterr().err.split("\r")[-1].splitlines()[0]
    assert re.fullmatch(rf"{zoo.FILES['resnet18']}: {size:.1f} of {size:.1f} MB, \d+\.\d MB/s, 0:00 left ", bar)


def put(folder, name, content):
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("folder", ["torch/hub/checkpoints", "torch/checkpoints", "torch/models", "model_zoo"])
def test_what_torch_has_downloaded_is_taken_and_left_there(folder, server, tmp_path, capsys):
    path = put(tmp_path / folder, zoo.FILES["resnet18"], server.content)
    assert zoo.is_cached("resnet18")
    npz = zoo.fetch("resnet18")
    assert capsys.readouterr().err == f"resnet18: taken from {path}, whose hash is right; kept as {npz}\n"
    assert zoo.fetch("resnet18") == npz  # and says nothing
    assert capsys.readouterr().err == ""
    assert server.requests == []
    assert path.read_bytes() == server.content
    assert home_files(tmp_path) == [os.path.basename(npz)]


def test_a_file_of_an_earlier_name_is_taken(server, tmp_path, monkeypatch, capsys):
    earlier = zoo.FILES["resnet18"]
    monkeypatch.setitem(zoo.FILES, "resnet18", "resnet18-f37072fd.pth")
    monkeypatch.setitem(zoo.EARLIER, "resnet18-f37072fd.pth", earlier)
    path = put(tmp_path / "torch" / "hub" / "checkpoints", earlier, server.content)
    npz = zoo.fetch("resnet18")
    assert os.path.basename(npz) == earlier.replace(".pth", ".npz")
    assert f"taken from {path}" in capsys.readouterr().err
    assert zoo.fetch("resnet18") == npz
    assert server.requests == []


def test_a_file_of_another_hash_is_passed_over(server, tmp_path, capsys):
    put(tmp_path / "torch" / "hub" / "checkpoints", zoo.FILES["resnet18"], b"cut")
    npz = zoo.fetch("resnet18")
    address = f"{os.environ['CHAINFPN_ZOO_URL']}{zoo.FILES['resnet18']}"
    assert capsys.readouterr().err == f"resnet18: downloaded from {address}; kept as {npz}\n"


def test_earlier_names_are_those_of_the_first_files():
    assert zoo.EARLIER["resnet50-0676ba61.pth"] == "resnet50-19c8e357.pth"
    assert zoo.EARLIER.keys() <= set(zoo.FILES.values())


def test_torchs_folders_are_those_of_its_variables(monkeypatch, tmp_path):
    for name in ("TORCH_HOME", "TORCH_MODEL_ZOO", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert torch_cache.folders()[0] == tmp_path / ".cache" / "torch" / "hub" / "checkpoints"
    assert torch_cache.folders()[-1] == tmp_path / ".torch" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert str(torch_cache.folders()[1]) == "/cache/torch/checkpoints"
