"""Export a detector to ONNX, serve it over HTTP with examples/serve, and ask the server what is in a picture.

    python examples/serve_onnx.py photo.jpg --weights finetuned/finetuned.npz

The server, serve/app.py, is a process of its own that is stopped at the end; ``ask`` is all that a client needs. Both
take the extras onnx and serve. To try it on little:

    python examples/serve_onnx.py --out sample_served.png
"""

import argparse
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import serve  # the folder
from PIL import Image, ImageDraw, ImageOps

from chainfpn import data, export_onnx, models

APP = pathlib.Path(next(iter(serve.__path__)), "app.py")


@contextlib.contextmanager
def serving(weights):
    """Serve a detector while the block runs.

    Args:
        weights (str or path): What chainfpn.models.load takes.

    Yields:
        str: The address.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        (path,) = export_onnx(models.load(weights), pathlib.Path(folder) / "detector.onnx")
        command = [sys.executable, APP, path, "--port", str(port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
            try:
                wait(address, server)
                yield address
            finally:
                server.terminate()


def wait(address, server, seconds=60):
    """Wait until a server answers; RuntimeError with its last words if it has ended, or takes longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address).close()
            return
        time.sleep(0.2)
    server.kill()
    raise RuntimeError(f"the server does not answer: {server.stderr.read()}")


def ask(address, picture):
    """Return what the server finds in a picture (bytes): width, height, detections; ValueError if it refuses."""
    try:
        with urllib.request.urlopen(f"{address}detect", picture) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error)["error"]) from None


def draw(path, detections):
    """Return a picture with the boxes of detections, yxyx, and their names."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")  # upright, as the server sees it
    pen = ImageDraw.Draw(picture)
    for found in detections:
        y_min, x_min, y_max, x_max = found["bbox"]
        pen.rectangle((x_min, y_min, x_max, y_max), outline="red", width=3)
        pen.text((x_min + 6, y_min + 6), f"{found['name']} {found['score']:.2f}", fill="red")
    return picture


def main(arguments=None):
    """Serve, ask, stop; return the picture with its boxes, which a notebook shows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", default=data.photograph_path(), type=pathlib.Path)
    parser.add_argument("--weights", default=data.weights_path(), help="of a detector")
    parser.add_argument("--out", default="served.png", help="the picture with boxes")
    options = parser.parse_args(arguments)

    with serving(options.weights) as address:
        answer = ask(address, options.picture.read_bytes())
    for found in answer["detections"]:
        print(f"{found['name']}  {found['score']:.2f}  {found['bbox']}")
    picture = draw(options.picture, answer["detections"])
    picture.save(options.out)
    return picture


if __name__ == "__main__":
    main()
