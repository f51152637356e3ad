"""Reader of the Penn-Fudan pedestrians."""

import pathlib
import re

import numpy as np
from PIL import Image

from chainfpn._typing import Array, PathLike, Size
from chainfpn.datasets._files import DataError, Names, read_text, require_folders, select
from chainfpn.datasets.detection_dataset import DetectionDataset

#: "Bounding box for object 1 "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : (160, 182) - (302, 431)"
_BOX = re.compile(r"\(Xmax, Ymax\) : \((\d+), (\d+)\) - \((\d+), (\d+)\)")
_SIZE = re.compile(r"^Image size \(X x Y x C\) : (\d+) x (\d+)", re.MULTILINE)
_COUNT = re.compile(r"^Objects with ground truth : (\d+)", re.MULTILINE)


class PennFudanDataset(DetectionDataset):
    """Pedestrians with boxes and masks.

    The annotations count pixels from 1 and include the last one; what they call (Xmin, Ymin) - (Xmax, Ymax) becomes
    the box (Ymin - 1, Xmin - 1, Ymax, Xmax). Pedestrian i has the value i in the mask's image.

    Keys: ``img``, ``bbox``, ``label`` and, where there is a folder of masks, ``mask``.

    Args:
        root (str or os.PathLike): Folder with PNGImages, Annotation and perhaps PedMasks.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if the folders are not there, or a name is of no image.

    Source:
        Wang et al. 2007, the data's readme.txt.
    """

    def __init__(self, root: PathLike, *, names: Names = None, without: Names = None) -> None:
        self.root = require_folders(root, "PNGImages", "Annotation")
        files = sorted((self.root / "PNGImages").glob("*.png"))
        chosen = select(files, names=names, without=without, source=self.root)
        super().__init__([files[i] for i in chosen], ("person",))
        stems = {path.stem for path in files}
        for path in sorted((self.root / "Annotation").glob("*.txt")):
            if path.stem not in stems:
                self.left_out.note(f"{path}: has no image", "annotations without an image")
        self.add_getter(("bbox", "label"), self._get_annotations)
        if (self.root / "PedMasks").is_dir():
            self.add_getter("mask", self._get_mask)
        self.keys = self.DEFAULT_KEYS

    def annotated_size(self, i: int) -> Size | None:
        """Return the size of an image as its annotation has it: (int, int) or None."""
        match = _SIZE.search(read_text(self._annotation(i))) if self._annotation(i).is_file() else None
        return (int(match[2]), int(match[1])) if match else None

    def _annotation(self, i: int) -> pathlib.Path:
        return self.root / "Annotation" / f"{self._files[i].stem}.txt"

    def _get_annotations(self, i: int) -> tuple[Array, Array]:
        """Return ``bbox`` and ``label``."""
        path = self._annotation(i)
        text = read_text(path)
        corners, count = _BOX.findall(text), _COUNT.search(text)
        if count is None or int(count[1]) != len(corners):
            raise DataError(f"{path}: must have as many boxes as it says there are objects, got {len(corners)}")
        bbox = np.array(corners, dtype=np.float32).reshape(-1, 4)[:, [1, 0, 3, 2]]
        bbox[:, :2] -= 1
        return bbox, np.zeros(len(bbox), dtype=np.int32)

    def _get_mask(self, i: int) -> Array:
        n = len(self._get_annotations(i)[0])
        path = self.root / "PedMasks" / f"{self._files[i].stem}_mask.png"
        try:
            with Image.open(path) as image:
                index = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
        size, _ = self._frame(i)
        if index.shape != size:
            raise DataError(f"{path}: must be of the size of its image, {size}, got {index.shape}")
        return index == np.arange(1, n + 1)[:, None, None]
