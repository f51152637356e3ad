import functools
import http.server
import threading
from unittest import mock

import numpy as np
import pytest

from chainfpn import datasets, models, training
from chainfpn.data import photograph_path, weights_path
from chainfpn.images import read_image, to_array
from reference.classifier_answers import without_initial_values


@pytest.fixture(scope="session", autouse=True)
def compiled_operators():
    """Numba has compiled what detections and trainings need, so that no command says that it does."""
    detector, image = models.load(weights_path()), read_image(photograph_path())
    for img in (to_array(image), np.asarray(image).transpose(2, 0, 1)):  # float32, as of data; uint8, as of commands
        detector.predict([img])
    slim = {"head_channels": 16, "box_batch_size_per_image": 16, "min_size": 64, "max_size": 64}
    chain = training.TrainChain(models.fasterrcnn_resnet_fpn(18, 3, **slim))
    chain(*datasets.collate(datasets.ShapesDataset(2, 64)[:])).backward()


@pytest.fixture(scope="session", autouse=True)
def no_initial_values_of_what_is_loaded():
    """A network whose weights follow has no random ones first, which take half of the time of the bundled detector."""

    def load(*arguments, **options):
        with without_initial_values():
            return models_load(*arguments, **options)

    models_load = models.load
    with mock.patch.object(models, "load", load):
        yield


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
