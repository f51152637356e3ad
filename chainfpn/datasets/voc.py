"""Reader of a tree in PASCAL VOC's form."""

import contextlib
import pathlib
from collections.abc import Collection
from xml.etree import ElementTree

import numpy as np
from chainercv.datasets import voc_bbox_label_names

from chainfpn._typing import Array, Labels, PathLike
from chainfpn.datasets._files import DataError, Names, read_text, require_folders, select
from chainfpn.datasets.detection_dataset import DetectionDataset

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


class VOCDataset(DetectionDataset):
    """Images with boxes from a tree of JPEGImages, Annotations and ImageSets/Main.

    The annotations count pixels from 1 and include the last one: the box is (ymin - 1, xmin - 1, ymax, xmax).

    Keys: ``img``, ``bbox``, ``label``, ``difficult``.

    Args:
        root (str or os.PathLike): The tree, e.g. ``VOCdevkit/VOC2007``.
        split (str or None): Name of a list in ImageSets/Main, e.g. ``'trainval'``; every annotated image if None.
        label_names (sequence of str or None): Only annotations with these names, labelled in this order. By default
            VOC's 20, or all names in the annotations, sorted, if there is one that is not VOC's.
        use_difficult (bool): Keep annotations that are marked as difficult.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if a folder, the split or an image is not there.

    Source:
        Everingham et al. 2010.
    """

    def __init__(
        self,
        root: PathLike,
        split: str | None = None,
        *,
        label_names: Labels | None = None,
        use_difficult: bool = False,
        names: Names = None,
        without: Names = None,
    ) -> None:
        self.root = require_folders(root, "JPEGImages", "Annotations")
        paths = (self.root / "JPEGImages").iterdir()
        images = {path.stem: path for path in paths if path.suffix.lower() in _IMAGE_SUFFIXES}
        annotated = {path.stem for path in (self.root / "Annotations").glob("*.xml")}
        stems = sorted(images.keys() & annotated) if split is None else self._split(split, images)
        files = [images[stem] for stem in stems]
        files = [files[i] for i in select(files, names=names, without=without)]
        super().__init__(files, self._all_names(annotated) if label_names is None else label_names)
        self.use_difficult = use_difficult
        self._only_known = label_names is not None
        self.add_getter(("bbox", "label", "difficult"), self._get_annotations)
        self.keys = self.DEFAULT_KEYS

    def _get_annotations(self, i: int) -> tuple[Array, Array, Array]:
        """Return ``bbox``, ``label``, ``difficult``."""
        path = self._annotation(self._files[i].stem)
        bbox, label, difficult = [], [], []
        for entry in _parse(path).iter("object"):
            name, is_difficult = _name(entry, path), (entry.findtext("difficult") or "0").strip() == "1"
            if name not in self.label_names and not self._only_known:
                raise DataError(f"{path}: has an object with a new name, {name!r}")
            if name in self.label_names and (self.use_difficult or not is_difficult):
                bbox.append(_box(entry, path))
                label.append(self.label_names.index(name))
                difficult.append(is_difficult)
        boxes = np.array(bbox, dtype=np.float32).reshape(-1, 4)
        return boxes, np.array(label, dtype=np.int32), np.array(difficult, dtype=bool)

    def _annotation(self, stem: str) -> pathlib.Path:
        return self.root / "Annotations" / f"{stem}.xml"

    def _split(self, split: str, images: Collection[str]) -> list[str]:
        """Return the names in a list of ImageSets/Main."""
        path = self.root / "ImageSets" / "Main" / f"{split}.txt"
        stems = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
        missing = [stem for stem in stems if stem not in images]
        if missing:
            raise DataError(f"{path}: there is no image {missing[0]} in {self.root / 'JPEGImages'}")
        return stems

    def _all_names(self, stems: Collection[str]) -> Labels:
        """Return the names of the labels: VOC's if they will do, else all that occur in annotations."""
        found: set[str] = set()
        for path in map(self._annotation, stems):
            with contextlib.suppress(DataError):  # it is named when it is read as an example
                found.update([_name(entry, path) for entry in _parse(path).iter("object")])
        return voc_bbox_label_names if found <= set(voc_bbox_label_names) else sorted(found)


def _parse(path: pathlib.Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: is not XML ({error})") from None


def _name(entry: ElementTree.Element, path: pathlib.Path) -> str:
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{path}: has an object without a name")
    return name


def _box(entry: ElementTree.Element, path: pathlib.Path) -> tuple[float, ...]:
    try:
        y0, x0, y1, x1 = (float(entry.findtext(f"bndbox/{tag}") or "") for tag in ("ymin", "xmin", "ymax", "xmax"))
    except ValueError:
        raise DataError(f"{path}: has an object without a bndbox of xmin, ymin, xmax and ymax") from None
    return y0 - 1, x0 - 1, y1, x1
