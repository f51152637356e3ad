"""The example that serves a detector over HTTP: what it finds, what it refuses, and how."""

import asyncio
import io
import pathlib
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from chainfpn import data, export_onnx, models
from chainfpn.images import read_image, to_array

SERVE = pathlib.Path(__file__).resolve().parents[1] / "examples" / "serve"


class Client:
    """Send requests to an application."""

    def __init__(self, app):
        self.app = app

    def request(self, method, path, **options):
        """Return the response."""

        async def send():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path):
        """Return the response to a GET."""
        return self.request("GET", path)

    def post(self, content):
        """Return the response to a picture."""
        return self.request("POST", "/detect", content=content)


@pytest.fixture(scope="module")
def serve():
    """Return the modules of the example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SERVE)
        import app
        import onnx_detector

        yield types.SimpleNamespace(app=app, onnx_detector=onnx_detector)


@pytest.fixture
def client(serve):
    """Return a client of a server whose detector sees one object in everything, and no more than it is told."""
    limits = serve.app.Limits(megabytes=0.1, megapixels=1, seconds=5)
    found = [{"bbox": [1, 2, 3, 4], "label": 0, "name": "thing", "score": 0.9}]
    return Client(serve.app.make_app(lambda img, seconds: found, limits))


def encoded(size=(40, 30), kind="PNG", mode="RGB", **options):
    """Return the bytes of a picture."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def test_a_picture_gets_its_boxes(client):
    for kind in ("PNG", "JPEG", "WEBP"):
        answer = client.post(encoded(kind=kind)).json()
        assert (answer["width"], answer["height"]) == (40, 30)
        assert answer["detections"] == [{"bbox": [1, 2, 3, 4], "label": 0, "name": "thing", "score": 0.9}]


def test_the_page_and_what_belongs_to_it_are_all_that_is_served(client):
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        response = client.get(path)
        assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, kind)
        assert response.headers["content-security-policy"].startswith("default-src 'none';")
        assert "http" not in response.text.replace("http://www.w3.org/2000/svg", "")
    for path in (
        "/app.py",
        "/../app.py",
        "/..%2fapp.py",
        "/%2e%2e/app.py",
        "/page.js/../app.py",
        "//etc/passwd",
        "/page.html",
    ):
        response = client.get(path)
        assert (response.status_code, response.json()) == (404, {"error": "There is nothing at this address."})
    assert client.get("/detect").status_code == 405


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"", 400, "The body of the request must be a picture."),
        (b"no picture", 415, "This is no picture of the kinds JPEG, PNG, WEBP."),
        (encoded(kind="GIF"), 415, "This is no picture of the kinds JPEG, PNG, WEBP."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "This is no picture of the kinds JPEG, PNG, WEBP."),
        (encoded((400, 300), "JPEG")[:900], 400, "The picture is damaged."),
        (encoded()[:50], 400, "The picture is damaged."),
        (encoded((1001, 1000), mode="1"), 413, "The picture has more than 1 million pixels."),
        (encoded((20000, 20000), mode="1"), 413, "The picture has far too many pixels."),
        (b"x" * 100_001, 413, "The picture is larger than 0.1 megabytes."),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_why(client, content, status, sentence):
    response = client.post(content)
    assert (response.status_code, response.json()) == (status, {"error": sentence})


def test_bytes_are_counted_as_they_come(client):
    """Where no length is said in advance."""

    async def chunks():
        for _ in range(11):
            yield b"x" * 10_000

    response = client.post(chunks())
    assert "content-length" not in response.request.headers
    assert (response.status_code, response.json()["error"]) == (413, "The picture is larger than 0.1 megabytes.")


def test_a_picture_that_does_not_arrive_is_not_waited_for(serve):
    async def stream():
        yield b"begin"
        await asyncio.sleep(60)

    request = types.SimpleNamespace(headers={}, stream=stream)
    with pytest.raises(serve.app.HTTPException) as error:
        asyncio.run(serve.app.receive(request, serve.app.Limits(seconds=0.01)))
    assert (error.value.status_code, error.value.detail) == (408, "The picture did not arrive within 0.01 seconds.")


def test_pictures_wait_for_their_turn_and_not_for_ever(serve):
    """Of two that arrive together the second would wait longer than it may."""
    first_is_in, second_is_refused = threading.Event(), threading.Event()

    def detector(img, seconds):
        first_is_in.set()
        assert second_is_refused.wait(60)
        return []

    client = Client(serve.app.make_app(detector, serve.app.Limits(seconds=0.1)))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, encoded())
        assert first_is_in.wait(60)
        second = client.post(encoded())
        second_is_refused.set()
    assert (second.status_code, second.json()["error"]) == (503, "Too many pictures are waiting.")
    assert first.result().status_code == 200
    assert client.post(encoded()).status_code == 200


@pytest.mark.slow
def test_the_bundled_detector_finds_the_astronaut_as_onnx_and_stops_in_time(serve, tmp_path):
    (path,) = export_onnx(models.load(data.weights_path()), tmp_path / "person.onnx")
    detector = serve.onnx_detector.OnnxDetector(path)
    client = Client(serve.app.make_app(detector, serve.app.Limits()))
    answer = client.post(pathlib.Path(data.photograph_path()).read_bytes()).json()
    (found,) = answer["detections"]
    assert (found["name"], answer["width"], answer["height"]) == ("person", 512, 512)
    np.testing.assert_allclose(found["bbox"], [0, 84.1, 511.1, 345.8], atol=0.5)

    hurried = Client(serve.app.make_app(detector, serve.app.Limits(seconds=0.02)))
    response = hurried.post(pathlib.Path(data.photograph_path()).read_bytes())
    assert (response.status_code, response.json()["error"]) == (503, "Detecting took longer than 0.02 seconds.")
    img = to_array(read_image(data.photograph_path()))
    with pytest.raises(ValueError, match=r"person\.npz: must be a file that ONNX Runtime reads: "):
        serve.onnx_detector.OnnxDetector(data.weights_path())
    with pytest.raises(TimeoutError):
        detector(img, 0.01)
    assert len(detector(img, 60)) == 1  # and works again


def test_the_extra_has_what_the_example_imports():
    """And the page of examples names it."""
    assert "[serve/app.py](serve/app.py)" in (SERVE.parent / "README.md").read_text(encoding="utf-8")
    setup_cfg = (SERVE.parents[1] / "setup.cfg").read_text(encoding="utf-8")
    extra = setup_cfg.partition("\nserve =\n")[2].partition("\n#")[0].split()
    sources = "".join(path.read_text(encoding="utf-8") for path in SERVE.glob("*.py"))
    assert extra == ["onnxruntime", "starlette", "uvicorn"]
    assert all(f"import {name}" in sources or f"from {name}" in sources for name in extra)
