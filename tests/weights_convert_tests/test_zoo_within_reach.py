"""Whether a published file can be had is known whatever the network does."""

import http.server
import socket
import threading

import pytest

from weights_convert import zoo


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINFPN_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("TORCH_MODEL_ZOO", str(tmp_path / "model_zoo"))
    return tmp_path


def test_a_file_is_at_hand_converted_or_as_it_was_published(home):
    assert not zoo.is_cached("resnet18")
    (home / "resnet18-f37072fd.npz.part").touch()
    assert not zoo.is_cached("resnet18")
    for suffix in (".npz", ".pth"):
        path = home / f"resnet18-f37072fd{suffix}"
        path.touch()
        assert zoo.is_cached("resnet18")
        assert not zoo.is_cached("resnet34")
        path.unlink()


@pytest.mark.parametrize(("status", "size"), [(200, 1234), (404, None), (503, None)])
def test_the_size_is_that_of_the_file(status, size, monkeypatch):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "1234")
            self.end_headers()

        def log_message(self, *_):
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("CHAINFPN_ZOO_URL", f"http://127.0.0.1:{server.server_port}/models")
        assert zoo.remote_size("resnet18", timeout=10) == size
        server.shutdown()
    assert asked == ["/models/resnet18-f37072fd.pth"]


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("CHAINFPN_ZOO_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert zoo.remote_size("resnet18", timeout=0.2) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no.such.host.invalid", "nonsense"])
def test_no_server_means_no_size(url, monkeypatch):
    monkeypatch.setenv("CHAINFPN_ZOO_URL", url)
    assert zoo.remote_size("resnet18") is None
