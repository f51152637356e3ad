"""Reader of a tree in PASCAL VOC's form."""

import pathlib
from xml.etree import ElementTree

import numpy as np
from chainercv.datasets import voc_bbox_label_names

from chainfpn.datasets.detection_dataset import DataError, DetectionDataset, read_text, select

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


class VOCDataset(DetectionDataset):
    """Objects with boxes from a tree of JPEGImages, Annotations and ImageSets/Main.

    The annotations count pixels from 1 and include the last one: the box is (ymin - 1, xmin - 1, ymax, xmax).

    Keys: ``img``, ``bbox``, ``label``, ``difficult``.

    Args:
        root (str or os.PathLike): The tree, e.g. ``VOCdevkit/VOC2007``.
        split (str or None): Name of a list in ImageSets/Main, e.g. ``'trainval'``; every annotated image if None.
        label_names (sequence of str or None): Only objects with these names, labelled in this order. By default VOC's
            20, or all names in the annotations, sorted, if there is one that is not VOC's.
        use_difficult (bool): Keep objects that are marked as difficult.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if a folder, the split or an image is not there.

    Source:
        Everingham et al. 2010.
    """

    def __init__(self, root, split=None, *, label_names=None, use_difficult=False, names=None, without=None):
        self.root = pathlib.Path(root)
        for folder in ("JPEGImages", "Annotations"):
            if not (self.root / folder).is_dir():
                raise DataError(f"{self.root}: has no folder {folder}")
        images = {
            path.stem: path
            for path in (self.root / "JPEGImages").iterdir()
            if path.suffix.lower() in _IMAGE_SUFFIXES
        }  # fmt: skip
        annotated = {path.stem for path in (self.root / "Annotations").glob("*.xml")}
        stems = sorted(images.keys() & annotated) if split is None else self._split(split, images)
        files = [images[stem] for stem in stems]
        files = [files[i] for i in select(files, names=names, without=without)]
        super().__init__(files, self._all_names(annotated) if label_names is None else label_names)
        self.use_difficult = use_difficult
        self._only_known = label_names is not None
        self.add_getter(("bbox", "label", "difficult"), self.get_annotation)
        self.keys = self.DEFAULT_KEYS

    def get_annotation(self, i):
        """Read the boxes of an example.

        Args:
            i (int): Index of the example.

        Returns:
            tuple: ``bbox``, ``label``, ``difficult``.

        Raises:
            DataError: if the file is not an annotation.
        """
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
        return (
            np.array(bbox, dtype=np.float32).reshape(-1, 4),
            np.array(label, dtype=np.int32),
            np.array(difficult, dtype=bool),
        )

    def _annotation(self, stem):
        return self.root / "Annotations" / f"{stem}.xml"

    def _split(self, split, images):
        """Return the names in a list of ImageSets/Main."""
        path = self.root / "ImageSets" / "Main" / f"{split}.txt"
        stems = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
        missing = [stem for stem in stems if stem not in images]
        if missing:
            raise DataError(f"{path}: there is no image {missing[0]} in {self.root / 'JPEGImages'}")
        return stems

    def _all_names(self, stems):
        """Return the names of the labels: VOC's if they will do, else all that occur in annotations."""
        found = set()
        for stem in stems:
            path = self._annotation(stem)
            try:
                found.update([_name(entry, path) for entry in _parse(path).iter("object")])
            except DataError:
                continue  # it is named when it is read as an example
        return voc_bbox_label_names if found <= set(voc_bbox_label_names) else sorted(found)


def _parse(path):
    try:
        return ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: is not XML ({error})") from None


def _name(entry, path):
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{path}: has an object without a name")
    return name


def _box(entry, path):
    try:
        y0, x0, y1, x1 = (float(entry.findtext(f"bndbox/{tag}")) for tag in ("ymin", "xmin", "ymax", "xmax"))
    except (TypeError, ValueError):
        raise DataError(f"{path}: has an object without a bndbox of xmin, ymin, xmax and ymax") from None
    return y0 - 1, x0 - 1, y1, x1
