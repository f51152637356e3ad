"""Serve a detector as ONNX over HTTP, with a page where one drops a picture and sees boxes.

    chainfpn export chainfpn/data/person.npz person.onnx
    python examples/serve/app.py person.onnx

Then open http://127.0.0.1:8000, or ``curl --data-binary @photo.jpg http://127.0.0.1:8000/detect``. Uploads are limited
in bytes, pixels and time, and a refusal says why in a sentence. The server needs the extra serve, and not Chainer.
"""

import argparse
import asyncio
import dataclasses
import io
import pathlib
import threading
import time
import warnings

from onnx_detector import OnnxDetector
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chainfpn.images import ImageError, read_image, to_array

#: All files that are served, by their addresses: nothing else can be asked for.
PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
FORMATS = ("JPEG", "PNG", "WEBP")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
SENTENCES = {404: "There is nothing at this address.", 405: "This address takes another method."}


@dataclasses.dataclass
class Limits:
    """What an upload may be: megabytes, millions of pixels, and seconds, to arrive in and to be looked at in."""

    megabytes: float = 10
    megapixels: float = 25
    seconds: float = 30


async def receive(request, limits):
    """Return the body of a request, within the limits of bytes and of time."""
    too_large = HTTPException(413, f"The picture is larger than {limits.megabytes:g} megabytes.")
    most = limits.megabytes * 1e6
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large

    async def read():
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise too_large
        return bytes(body)

    try:
        body = await asyncio.wait_for(read(), limits.seconds)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"The picture did not arrive within {limits.seconds:g} seconds.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The picture did not arrive.") from None
    if not body:
        raise HTTPException(400, "The body of the request must be a picture.")
    return body


def decode(body, limits):
    """Return a picture as an array, upright; its size is checked before its pixels are read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(body), formats=FORMATS).size
    except Image.DecompressionBombError:
        raise HTTPException(413, "The picture has far too many pixels.") from None
    except Exception:
        raise HTTPException(415, f"This is no picture of the kinds {', '.join(FORMATS)}.") from None
    if width * height > limits.megapixels * 1e6:
        raise HTTPException(413, f"The picture has more than {limits.megapixels:g} million pixels.")
    try:
        return to_array(read_image(io.BytesIO(body), name="picture"))
    except ImageError:
        raise HTTPException(400, "The picture is damaged.") from None


def make_app(detector, limits):
    """Return the application.

    Args:
        detector (callable): An image (3, H, W) and seconds to records; TimeoutError if it takes longer.
        limits (Limits): Of uploads.
    """
    turn = threading.Lock()  # one picture at a time is in memory as pixels

    def look(body):
        if not turn.acquire(timeout=limits.seconds):
            raise HTTPException(503, "Too many pictures are waiting.")
        try:
            img, begin = decode(body, limits), time.monotonic()
            detections = detector(img, limits.seconds)
        except TimeoutError:
            raise HTTPException(503, f"Detecting took longer than {limits.seconds:g} seconds.") from None
        finally:
            turn.release()
        height, width = img.shape[1:]
        seconds = round(time.monotonic() - begin, 3)
        return {"width": width, "height": height, "seconds": seconds, "detections": detections}

    async def detect(request):
        body = await receive(request, limits)
        return JSONResponse(await run_in_threadpool(look, body), headers=HEADERS)

    async def page(request):
        name, kind = PAGES[request.url.path]
        return Response(pathlib.Path(__file__).with_name(name).read_bytes(), media_type=kind, headers=HEADERS)

    async def refuse(request, error):
        sentence = SENTENCES.get(error.status_code, error.detail)
        return JSONResponse({"error": sentence}, error.status_code, headers={**HEADERS, **(error.headers or {})})

    routes = [Route("/detect", detect, methods=["POST"]), *(Route(path, page) for path in PAGES)]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def main(arguments=None):
    """Serve until Ctrl-C."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an end-to-end file of chainfpn export")
    parser.add_argument("--score", type=float, default=0.5, help="what detections must score at least")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=8000)
    for field in dataclasses.fields(Limits):
        parser.add_argument(f"--{field.name}", type=float, default=field.default, help="most of an upload")
    options = parser.parse_args(arguments)
    limits = Limits(*(getattr(options, field.name) for field in dataclasses.fields(Limits)))
    try:
        app = make_app(OnnxDetector(options.model, options.score), limits)
    except ValueError as error:
        parser.error(str(error))
    uvicorn.run(app, host=options.host, port=options.port, limit_concurrency=32, timeout_keep_alive=5)


if __name__ == "__main__":
    main()
