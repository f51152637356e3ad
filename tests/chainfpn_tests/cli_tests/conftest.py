import functools
import http.server
import threading

import pytest


@pytest.fixture(autouse=True)
def offline(tmp_path_factory, monkeypatch):
    """No published file is at hand or can be downloaded, whatever this machine has and reaches."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CHAINFPN_HOME", str(home))
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    monkeypatch.setenv("TORCH_MODEL_ZOO", str(home / "model_zoo"))
    monkeypatch.setenv("CHAINFPN_ZOO_URL", "http://127.0.0.1:9/")


@pytest.fixture
def server(tmp_path):
    """A server on the loopback for the files of a folder: its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()
