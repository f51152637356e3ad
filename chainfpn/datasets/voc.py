"""Reader of a tree in PASCAL VOC's form."""

import pathlib
from collections.abc import Collection

import numpy as np
from chainercv.datasets import voc_bbox_label_names

from chainfpn._attributes import Fixed
from chainfpn._typing import Array, Labels, PathLike
from chainfpn.datasets._files import (
    IMAGE_SUFFIXES,
    DataError,
    Names,
    check_unique,
    choose_labels,
    read_lines,
    require_folders,
    select,
)
from chainfpn.datasets._left_out import LeftOut
from chainfpn.datasets._voc_xml import VOCAnnotation, read_annotation
from chainfpn.datasets.detection_dataset import DetectionDataset


class VOCDataset(DetectionDataset):
    """Images with boxes from a tree of JPEGImages, Annotations and ImageSets/Main, or from XML beside images.

    The annotations count pixels from 1 and include the last one: the box is (ymin - 1, xmin - 1, ymax, xmax).
    An object without a name or such a box is left out, and an image without annotation, unless a split lists it. Images
    and annotations may be in folders within theirs, if no two have one name.

    Keys: ``img``, ``bbox``, ``label``, ``difficult``.

    Args:
        root (str or os.PathLike): The tree, e.g. ``VOCdevkit/VOC2007``.
        split (str or None): Name of a list in ImageSets/Main, e.g. ``'trainval'``; every annotated image if None.
        label_names (sequence of str or None): Only annotations with these names, labelled in this order. By default
            VOC's 20, or all names in the annotations, sorted, if there is one that is not VOC's.
        use_difficult (bool): Keep annotations that are marked as difficult.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.
        images (str): Folder of the images in the root; ``'.'`` is the root itself.
        annotations (str): Folder of the XML.

    Raises:
        DataError: if a folder, the split or an image is not there, or a label of no object, or there is no
            object at all.

    Source:
        Everingham et al. 2010.
    """

    use_difficult = Fixed()

    def __init__(
        self,
        root: PathLike,
        split: str | None = None,
        *,
        label_names: Labels | None = None,
        use_difficult: bool = False,
        names: Names = None,
        without: Names = None,
        images: str = "JPEGImages",
        annotations: str = "Annotations",
    ) -> None:
        self.root = require_folders(root, images, annotations)
        self._folders = self.root / images, self.root / annotations
        found = self._files_of("images", self._folders[0], IMAGE_SUFFIXES)
        self._xml = self._files_of("annotations", self._folders[1], (".xml",))
        read = {stem: _attempt(path) for stem, path in self._xml.items()}
        stems = sorted(found.keys() & read) if split is None else self._split(split, found)
        files = [found[stem] for stem in stems]
        files = [files[i] for i in select(files, names=names, without=without, source=self.root)]
        super().__init__(files, self._choose_labels(label_names, read))
        self.use_difficult = use_difficult
        self._found = [read.get(path.stem) or _attempt(self._annotation(path.stem)) for path in files]
        self._sizes = [found.size for found in self._found]
        if split is None:
            self._pair(found, read)
        self._count_left_out()
        self.add_getter(("bbox", "label", "difficult"), self._get_annotations)
        self.keys = self.DEFAULT_KEYS

    @property
    def splits(self) -> tuple[str, ...]:
        """Names that ``split`` may have: lists of ImageSets/Main, but for those of one category: tuple of str."""
        names = {path.stem for path in (self.root / "ImageSets" / "Main").glob("*.txt")}
        return tuple(sorted(name for name in names if name.rpartition("_")[0] not in self.label_names))

    def _get_annotations(self, i: int) -> tuple[Array, Array, Array]:
        """Return ``bbox``, ``label``, ``difficult``."""
        found = self._found[i]
        if found.error is not None:
            raise DataError(str(found.error), reason=found.error.reason)
        objects = [entry for entry in found.objects if entry.name in self.label_names]
        objects = [entry for entry in objects if self.use_difficult or not entry.difficult]
        return (
            np.array([entry.bb for entry in objects], dtype=np.float32).reshape(-1, 4),
            np.array([self.label_names.index(entry.name) for entry in objects], dtype=np.int32),
            np.array([entry.difficult for entry in objects], dtype=bool),
        )

    def _annotation(self, stem: str) -> pathlib.Path:
        return self._xml.get(stem, self._folders[1] / f"{stem}.xml")

    def _files_of(self, kind: str, folder: pathlib.Path, suffixes: Collection[str]) -> dict[str, pathlib.Path]:
        """Return the files of a folder and those in it by their names without suffix, which must be unique."""
        paths = folder.iterdir() if folder == self.root else folder.rglob("*")
        files = sorted(path for path in paths if path.suffix.lower() in suffixes)
        shown = [path.relative_to(folder).as_posix() for path in files]
        check_unique(self.root, kind, "name", [path.stem for path in files], shown)
        return {path.stem: path for path in files}

    def _split(self, split: str, images: Collection[str]) -> list[str]:
        """Return the names in a list of ImageSets/Main, whose lines may end with 1, 0 or -1, of a category's list."""
        path = self.root / "ImageSets" / "Main" / f"{split}.txt"
        lines = read_lines(path)
        stems = [_stem(line, images) for line in lines]
        missing = [stem for stem in stems if stem not in images]
        if missing:
            raise DataError(f"{path}: there is no image {missing[0]} in {self._folders[0]}")
        check_unique(path, "lines", "image", stems, lines)
        return stems

    def _choose_labels(self, label_names: Labels | None, read: dict[str, VOCAnnotation]) -> Labels:
        """Return the names of the labels: by default VOC's if they will do, else all that occur in annotations."""
        found = {entry.name for annotation in read.values() for entry in annotation.objects}
        if label_names is None and not found:
            problems = [problem for annotation in read.values() for problem in annotation.problems]
            why = f" ({problems[0]})" if problems else ""
            raise DataError(f"{self.root}: no annotation has an object, so there is no category to learn{why}")
        default = voc_bbox_label_names if found <= set(voc_bbox_label_names) else sorted(found)
        vocs = [name for name in label_names or () if name in voc_bbox_label_names]
        return choose_labels(self.root, label_names, [*sorted(found), *vocs], default)

    def _pair(self, images: dict[str, pathlib.Path], annotations: Collection[str]) -> None:
        """Note the images and annotations without each other."""
        for stem in sorted(images.keys() - annotations):
            self.left_out.note(f"{images[stem]}: has no annotation", "images without an annotation")
        for stem in sorted(set(annotations) - images.keys()):
            self.left_out.note(f"{self._annotation(stem)}: has no image", "annotations without an image")

    def _count_left_out(self) -> None:
        """Count the objects that are wrong or were not chosen."""
        for found in self._found:
            self.left_out.extend(found.left_out)
            for entry in found.objects:
                if entry.name not in self.label_names:
                    self.left_out.counts["objects of other categories"] += 1
                elif entry.difficult and not self.use_difficult:
                    self.left_out.counts["difficult objects"] += 1


def _stem(line: str, images: Collection[str]) -> str:
    """Return the image of a line, which may have a folder, a suffix, or 1, 0 or -1 at its end."""
    for text in (line, line.rsplit(None, 1)[0]):
        name = pathlib.PureWindowsPath(text).name
        stem, dot, suffix = name.rpartition(".")
        for candidate in (text, name, stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name):
            if candidate in images:
                return candidate
    return line.rsplit(None, 1)[0]


def _attempt(path: pathlib.Path) -> VOCAnnotation:
    """Return an annotation, or one with the error to raise where its image is read."""
    try:
        return read_annotation(path)
    except DataError as error:
        return VOCAnnotation(None, [], LeftOut(), error)
