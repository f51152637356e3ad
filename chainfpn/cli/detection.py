"""Detect in many images, one at a time: table, pictures, JSON."""

import contextlib
import itertools
import sys

from tqdm import tqdm

from chainfpn.cli.drawing import draw
from chainfpn.cli.errors import CommandError
from chainfpn.cli.output import complete_file
from chainfpn.cli.results import JsonList, PictureNames, Table
from chainfpn.images import ImageError, read_image, to_array

#: Of the pictures, in Pillow's terms: what is drawn keeps its edges.
JPEG_QUALITY = 90


def detect_all(detector, images, *, score, out, json_path=None, comm=None):
    """Detect objects in images, print a table, and write pictures and perhaps JSON.

    An image that cannot be read is named on stderr, and the rest goes on. A progress bar appears if there are several
    images and stderr is a terminal.

    Args:
        detector (chainer.Link): With ``predict``, ``score_thresh``, ``n_fg_class`` and ``label_names``.
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
    names = detector.label_names or [str(i) for i in range(detector.n_fg_class)]
    try:
        with contextlib.ExitStack() as stack:
            json_list = None
            if json_path is not None and (comm is None or comm.rank == 0):
                json_list = stack.enter_context(JsonList(stack.enter_context(complete_file(json_path))))
            out.mkdir(parents=True, exist_ok=True)
            return _run(detector, images, names, out, json_list, comm)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{error.filename or out}: cannot be written ({error.strerror or error})") from error


def _run(detector, images, names, out, json_list, comm):
    rank, n_processes = (0, 1) if comm is None else (comm.rank, comm.size)
    table = Table([str(path) for path in images], names)
    pictures = PictureNames(out, images)
    chosen = [(path, pictures.choose(path)) for path in images]
    records, n_pictures = [], 0
    alone = len(images) == 1 or n_processes > 1
    bar = tqdm(chosen, unit="image", file=sys.stderr, disable=alone or not sys.stderr.isatty(), leave=False)
    if rank == 0:
        tqdm.write(table.header(), file=sys.stdout)
    for i, (path, picture) in enumerate(bar):
        if i % n_processes != rank:
            continue
        try:
            image = read_image(path)
            bbox, label, score = _predict(detector, image, path)
        except ImageError as error:
            tqdm.write(str(error), file=sys.stderr)
            continue
        _save(draw(image, bbox, label, score, names), picture)
        written, n_pictures = picture, n_pictures + 1
        record = _record(path, image.size, bbox, label, score, names)
        tqdm.write("\n".join(table.lines(record)), file=sys.stdout)
        if comm is not None:
            records.append((i, record))
        elif json_list is not None:
            json_list.add(record)
    if comm is not None:
        n_pictures = comm.allreduce_obj(n_pictures)
        shares = comm.gather_obj(records)
        if json_list is not None:
            for _, record in sorted(itertools.chain(*shares)):
                json_list.add(record)
    if n_pictures == 1 and comm is None:
        print(f"picture written to {written}")
    elif rank == 0:
        print(f"{n_pictures} pictures written to {out}")
    return 0 if n_pictures == len(images) else 1


def _predict(detector, image, path):
    try:
        (bbox,), (label,), (score,) = detector.predict([to_array(image)])[:3]  # masks or keypoints may follow
    except MemoryError:
        raise ImageError(f"{path}: is too large for the memory of the device") from None
    return bbox, label, score


def _record(path, size, bbox, label, score, names):
    detections = [
        {"bbox": [float(v) for v in bb], "label": int(i), "name": names[i], "score": float(s)}
        for bb, i, s in zip(bbox, label, score, strict=True)
    ]
    return {"file": str(path), "width": size[0], "height": size[1], "detections": detections}


def _save(picture, path):
    with complete_file(path, "wb") as file:
        if path.suffix == ".png":
            picture.save(file, format="PNG")
        else:
            picture.save(file, format="JPEG", quality=JPEG_QUALITY)
