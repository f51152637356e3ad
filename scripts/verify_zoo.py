"""Score published detectors on COCO val2017, and print our average precision beside the published one.

    python scripts/verify_zoo.py --coco ~/coco                          # all of them, 5 GB, and hours on a GPU
    python scripts/verify_zoo.py --coco ~/coco --only retinanet --limit 500 --device cuda:0
    python scripts/verify_zoo.py --list

The folder of COCO has ``val2017`` and ``annotations``. Files are downloaded once, their hash is compared with that in
their name, and they are converted as ``weights-convert`` does. detectron2 publishes no hashes.
"""

import argparse
import contextlib
import io
import json
import pathlib
import re
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import weights_convert
from chainfpn.cli.main import main as chainfpn
from chainfpn.models import registry
from weights_convert import zoo

DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/"
MMDETECTION = "https://download.openmmlab.com/mmdetection/v2.0/"

#: Figures, in the order of the tables below.
KINDS = ("box", "mask", "keypoint")

#: detectron2 0.6: a file's address below `DETECTRON2` -> AP of boxes, masks and keypoints in its MODEL_ZOO.md.
OF_DETECTRON2 = {
    "COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794/model_final_b275ba.pkl": (37.9,),
    "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl": (40.2,),
    "COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1.pkl": (42.0,),
    "COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x/139173657/model_final_68b088.pkl": (43.0,),
    "COCO-Detection/retinanet_R_50_FPN_1x/190397773/model_final_bfca0b.pkl": (37.4,),
    "COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl": (38.7,),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl": (41.0, 37.2),
    "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl": (42.9, 38.6),
    "COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x/137849621/model_final_a6e10b.pkl": (55.4, None, 65.5),
    "Misc/cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8.pkl": (44.3, 38.5),
}

#: mmdetection 2.x and 3.x: a file's address below `MMDETECTION` -> the same from its tables, and ``--meta``.
OF_MMDETECTION: dict[str, tuple[tuple[float, ...], dict[str, str]]] = {
    "faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth": ((37.4,), {}),
    "faster_rcnn/faster_rcnn_r50_caffe_fpn_1x_coco/"
    "faster_rcnn_r50_caffe_fpn_1x_coco_bbox_mAP-0.378_20200504_180032-c5925ee5.pth": ((37.8,), {"input": "caffe"}),
    "mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth": ((38.2, 34.7), {}),
    "cascade_rcnn/cascade_mask_rcnn_r50_fpn_1x_coco/cascade_mask_rcnn_r50_fpn_1x_coco_20200203-9d4dcb24.pth": (
        (41.2, 35.9),
        {},
    ),
    "retinanet/retinanet_r50_fpn_1x_coco/retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth": ((36.5,), {}),
    "fcos/fcos_r50_caffe_fpn_gn-head_1x_coco/fcos_r50_caffe_fpn_gn-head_1x_coco-821213aa.pth": (
        (36.6,),
        {"input": "caffe"},
    ),
}


class Published(NamedTuple):
    """A published file.

    Attributes:
        name (str): Library, a slash, and the model.
        url (str): Its address.
        figures (dict): AP in percent, by kind.
        model (str or None): The builder, where names and shapes do not tell it.
        meta (dict): What weights do not say.
    """

    name: str
    url: str
    figures: Mapping[str, float]
    model: str | None = None
    meta: Mapping[str, Any] = {}

    @property
    def file(self) -> str:
        """What the file is called here: in detectron2's zoo, many have one name."""
        return f"{self.name.replace('/', '-')}-{self.url.rpartition('/')[2]}"

    @property
    def sha256(self) -> str:
        """How its hash begins; empty where none is published."""
        found = re.search(r"-([0-9a-f]{8})\.pth$", self.url)
        return found[1] if found else ""


def published() -> list[Published]:
    """Return all published detectors that this package builds."""
    found = []
    for model in registry.MODELS.values():
        for key, file in model.weights.items() if model.task == "detection" else ():
            word = registry.WORDS[key].removeprefix("coco")
            figures = {kind: file.figures[kind] for kind in KINDS if kind in file.figures}
            found.append(Published(f"torchvision/{model.name}{word}", file.url, figures, model.name))
    other = [("detectron2", path.split("/")[1], DETECTRON2 + path, aps, {}) for path, aps in OF_DETECTRON2.items()]
    other += [("mmdetection", path.split("/")[1], MMDETECTION + path, *about) for path, about in OF_MMDETECTION.items()]
    for library, name, url, aps, meta in other:
        figures = {kind: ap for kind, ap in zip(KINDS, aps, strict=False) if ap is not None}
        labels = {"label_names": ["person"] if "keypoint" in figures else "coco"}
        found.append(Published(f"{library}/{name}", url, figures, None, labels | meta))
    return found


def verify(
    file: Published, coco: pathlib.Path, folder: pathlib.Path, *more: str, mirror: str | None = None
) -> dict[str, float]:
    """Download a file unless it is there, convert it, and score it.

    Args:
        file (Published): The file.
        coco (pathlib.Path): Folder of ``val2017`` and ``annotations``.
        folder (pathlib.Path): Where files are kept.
        *more (str): Other arguments of ``chainfpn evaluate``.
        mirror (str or None): An address that has the files under their names here.

    Returns:
        dict: AP in percent, by kind.
    """
    path = folder / file.file
    if not path.exists():
        url = file.url if mirror is None else f"{mirror.rstrip('/')}/{file.file}"
        zoo.download(url, path, file.sha256, progress=sys.stderr.isatty())
    annotations = "person_keypoints" if "keypoint" in file.figures else "instances"
    quiet = contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO()))
    with tempfile.TemporaryDirectory(dir=folder) as temporary, quiet:
        npz, figures = pathlib.Path(temporary) / "converted.npz", pathlib.Path(temporary) / "figures.json"
        weights_convert.convert(path, npz, model=file.model, meta=dict(file.meta))
        data = ["--data", str(coco / "val2017"), "--annotations", str(coco / f"annotations/{annotations}_val2017.json")]
        if chainfpn(["evaluate", *data, "--weights", str(npz), "--json", str(figures), *more]):
            raise weights_convert.CheckpointError("chainfpn evaluate has said why it ends")
        found = json.loads(figures.read_text())["coco"]
    if not found:
        raise SystemExit("COCO's figures need pycocotools; pip install 'chainfpn[coco]'")
    return {kind: 100 * found[kind]["AP"] for kind in file.figures}


def row(file: Published, found: Mapping[str, float]) -> str:
    """Return the line of a table: each figure, ours and the published one."""
    cells = [f"{found[kind]:.1f} ({file.figures[kind]:.1f})" if kind in found else "" for kind in KINDS]
    return f"| {file.name} | {' | '.join(cells)} |"


def _line(file: Published, *arguments: Any, mirror: str | None) -> bool:
    """Verify a file and print its line, or why there is none; return whether there is one."""
    try:
        print(row(file, verify(file, *arguments, mirror=mirror)), flush=True)
    except weights_convert.CheckpointError as error:
        print(f"{file.name}: {error}", file=sys.stderr)
        return False
    return True


def main(argv: list[str] | None = None, files: list[Published] | None = None) -> None:
    """Verify what is asked for and print a table.

    Args:
        argv (list of str or None): Arguments; those of the process by default.
        files (list of Published or None): The published files; all by default.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=pathlib.Path, help="folder of val2017 and annotations")
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose name has this in it")
    parser.add_argument("--folder", type=pathlib.Path, default=zoo.home() / "published", help="where files are kept")
    parser.add_argument("--mirror", metavar="URL", help="an address that has the files")
    parser.add_argument("--list", action="store_true", help="print the addresses and stop")
    parser.add_argument("--limit", help="only the first so many images")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args(argv)
    chosen = [file for file in (published() if files is None else files) if arguments.only in file.name]
    if not chosen:
        parser.error(f"no published file has {arguments.only!r} in its name")
    if arguments.list:
        print("\n".join(f"{file.name}: {file.url}" for file in chosen))
        return
    if arguments.coco is None:
        parser.error("--coco names the folder of val2017 and annotations")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    more = ["--device", arguments.device, "--quiet", *(["--limit", arguments.limit] if arguments.limit else [])]
    print("| model | " + " | ".join(f"{kind} AP, ours (published)" for kind in KINDS) + " |\n|---|--:|--:|--:|")
    lines = [_line(file, arguments.coco, arguments.folder, *more, mirror=arguments.mirror) for file in chosen]
    sys.exit(0 if all(lines) else 1)


if __name__ == "__main__":
    main()
