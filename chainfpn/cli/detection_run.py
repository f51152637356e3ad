"""Detect in many images, one at a time: table, pictures, JSON."""

import contextlib
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

from chainfpn._typing import Communicator
from chainfpn.cli.drawing import draw
from chainfpn.cli.output import complete_file, writing_errors
from chainfpn.cli.results import JsonList, Table, picture_paths, save_picture
from chainfpn.images import ImageError, read_image, to_array
from chainfpn.links import Detector


def detect_all(
    detector: Detector,
    images: Sequence[pathlib.Path],
    *,
    score: float,
    out: pathlib.Path,
    json_path: str | None = None,
    comm: Communicator = None,
) -> int:
    """Detect objects in images, print a table, and write pictures and perhaps JSON.

    An image that cannot be read is named on stderr, and the rest goes on. A progress bar appears if there are several
    images and stderr is a terminal.

    Args:
        detector (chainfpn.links.Detector): The detector.
        images (sequence of pathlib.Path): The images.
        score (float): Only detections with a score above it count.
        out (pathlib.Path): Folder of the pictures; made if there is none.
        json_path (pathlib.Path or None): File for the JSON.
        comm (chainermn.CommunicatorBase or None): The processes that share the images; the first writes the JSON.

    Returns:
        int: 0, or 1 if an image could not be read.

    Raises:
        CommandError: if something cannot be written.
    """
    detector.score_thresh = score
    with writing_errors(out), contextlib.ExitStack() as stack:
        json_list = None
        if json_path is not None and (comm is None or comm.rank == 0):
            json_list = stack.enter_context(JsonList(stack.enter_context(complete_file(json_path))))
        out.mkdir(parents=True, exist_ok=True)
        return _run(detector, images, out, json_list, comm)


def _run(detector, images, out, json_list, comm):
    rank, n_processes = (0, 1) if comm is None else (comm.rank, comm.size)
    names = detector.label_names or [str(i) for i in range(detector.n_fg_class)]
    table = Table([str(path) for path in images], names)
    pairs = list(zip(images, picture_paths(out, images), strict=True))
    shared, written = [], []
    alone = len(images) == 1 or n_processes > 1
    bar = tqdm(pairs, unit="image", file=sys.stderr, disable=alone or not sys.stderr.isatty(), leave=False)
    if rank == 0:
        tqdm.write(table.header(), file=sys.stdout)
    for i, (path, picture) in enumerate(bar):
        if i % n_processes != rank:
            continue
        try:
            image = read_image(path)
            detections = _detect(detector, image, path)
        except ImageError as error:
            tqdm.write(str(error), file=sys.stderr)
            continue
        save_picture(draw(image, detections, names), picture)
        written.append(picture)
        boxes = dataclasses.replace(detections, mask=None, point=None, point_score=None)
        record = {"file": str(path), "width": image.width, "height": image.height, "detections": boxes.to_json(names)}
        tqdm.write("\n".join(table.lines(record)), file=sys.stdout)
        if comm is not None:
            shared.append((i, record))
        elif json_list is not None:
            json_list.add(record)
    n_pictures = len(written)
    if comm is not None:
        n_pictures = comm.allreduce_obj(n_pictures)
        shares = comm.gather_obj(shared)
        if json_list is not None:
            for _, record in sorted(itertools.chain(*shares)):
                json_list.add(record)
    if n_pictures == 1 and comm is None:
        print(f"picture written to {written[0]}")
    elif rank == 0:
        print(f"{n_pictures} pictures written to {out}")
    return 0 if n_pictures == len(images) else 1


def _detect(detector, image, path):
    try:
        (detections,) = detector.detect([to_array(image)])
    except MemoryError:
        raise ImageError(f"{path}: is too large for the memory of the device") from None
    return detections
