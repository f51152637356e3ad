import pytest


@pytest.fixture(autouse=True)
def offline(tmp_path_factory, monkeypatch):
    """No published file is at hand or can be downloaded, whatever this machine has and reaches."""
    monkeypatch.setenv("CHAINFPN_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("CHAINFPN_ZOO_URL", "http://127.0.0.1:9/")
