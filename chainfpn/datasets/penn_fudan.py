"""Reader of the Penn-Fudan pedestrians."""

import pathlib
import re

import numpy as np
from PIL import Image

from chainfpn.datasets.detection_dataset import DataError, DetectionDataset, read_text, select

#: "Bounding box for object 1 "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : (160, 182) - (302, 431)"
_BOX = re.compile(r"\(Xmax, Ymax\) : \((\d+), (\d+)\) - \((\d+), (\d+)\)")
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

    def __init__(self, root, *, names=None, without=None):
        self.root = pathlib.Path(root)
        for folder in ("PNGImages", "Annotation"):
            if not (self.root / folder).is_dir():
                raise DataError(f"{self.root}: has no folder {folder}")
        files = sorted((self.root / "PNGImages").glob("*.png"))
        files = [files[i] for i in select(files, names=names, without=without)]
        super().__init__(files, ("person",))
        self.add_getter(("bbox", "label"), self.get_annotation)
        if (self.root / "PedMasks").is_dir():
            self.add_getter("mask", self.get_mask)
        self.keys = self.DEFAULT_KEYS

    def get_annotation(self, i):
        """Read the boxes of an example.

        Args:
            i (int): Index of the example.

        Returns:
            tuple: ``bbox`` and ``label``.

        Raises:
            DataError: if the file is not an annotation, or not all of one.
        """
        path = self.root / "Annotation" / f"{self._files[i].stem}.txt"
        text = read_text(path)
        corners = _BOX.findall(text)
        count = _COUNT.search(text)
        if count is None or int(count[1]) != len(corners):
            raise DataError(f"{path}: must have as many boxes as it says there are objects, got {len(corners)}")
        bbox = np.array(corners, dtype=np.float32).reshape(-1, 4)[:, [1, 0, 3, 2]]
        bbox[:, :2] -= 1
        return bbox, np.zeros(len(bbox), dtype=np.int32)

    def get_mask(self, i):
        """Read the masks of an example.

        Args:
            i (int): Index of the example.

        Returns:
            array: bool, (R, H, W).

        Raises:
            DataError: if the file is not an image of masks of all its pedestrians.
        """
        n = len(self.get_annotation(i)[0])
        path = self.root / "PedMasks" / f"{self._files[i].stem}_mask.png"
        try:
            with Image.open(path) as image:
                index = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
        if index.shape != self.size(i):
            raise DataError(f"{path}: must be of the size of its image, {self.size(i)}, got {index.shape}")
        return index == np.arange(1, n + 1)[:, None, None]
