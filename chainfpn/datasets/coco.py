"""Reader of annotations in COCO's form."""

import json
import math
import pathlib

import numpy as np

from chainfpn._typing import Array, Labels, PathLike, Size
from chainfpn.datasets._files import DataError, Names, read_text, select
from chainfpn.datasets.detection_dataset import DetectionDataset


class COCODataset(DetectionDataset):
    """Images with boxes and masks from an instances JSON and a folder of images.

    Examples come in the order of the images' ids, labels count the categories from 0 in the order of theirs. Images
    without annotations stay in.

    Keys: ``img``, ``bbox``, ``label``, ``mask``, ``area``, ``crowded``. Masks need pycocotools.

    Args:
        annotations (str or os.PathLike): The JSON.
        images (str or os.PathLike): Folder that its file names are in.
        label_names (sequence of str or None): Only annotations of these categories, labelled in this order.
        use_crowded (bool): Keep crowds, which are no single objects.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Attributes:
        category_ids (tuple of int): Category of each label.
        image_ids (tuple): Id of the image of each example.

    Raises:
        DataError: if the JSON is not COCO's, the folder is not there, or a name is of no image or category.

    Source:
        Lin et al. 2014, cocodataset.org/#format-data.
    """

    def __init__(
        self,
        annotations: PathLike,
        images: PathLike,
        *,
        label_names: Labels | None = None,
        use_crowded: bool = False,
        names: Names = None,
        without: Names = None,
    ) -> None:
        self.annotations, folder = pathlib.Path(annotations), pathlib.Path(images)
        if not folder.is_dir():
            raise DataError(f"{folder}: is not a folder of images")
        content = _read(self.annotations)
        try:
            categories = sorted(content["categories"], key=lambda category: category["id"])
            category_ids = {category["name"]: category["id"] for category in categories}
            infos = sorted(content["images"], key=lambda info: info["id"])
            infos = [infos[i] for i in select([info["file_name"] for info in infos], names=names, without=without)]
            self.image_ids = tuple(info["id"] for info in infos)
            self._sizes = [(info.get("height"), info.get("width")) for info in infos]
            self._annotations: dict[int, list[dict]] = {image_id: [] for image_id in self.image_ids}
            for annotation in content["annotations"]:
                if annotation["image_id"] in self._annotations:
                    self._annotations[annotation["image_id"]].append(annotation)
        except KeyError as error:
            raise DataError(f"{self.annotations}: an entry lacks {error}") from None
        except (TypeError, AttributeError):
            raise DataError(f"{self.annotations}: its entries must be JSON objects") from None
        if len(category_ids) != len(categories):
            raise DataError(f"{self.annotations}: two of its categories have one name")
        label_names = tuple(category_ids if label_names is None else label_names)
        unknown = [name for name in label_names if name not in category_ids]
        if unknown:
            raise DataError(f"{self.annotations}: has no category {unknown[0]!r}; it has {', '.join(category_ids)}")
        super().__init__([folder / info["file_name"] for info in infos], label_names)
        self.category_ids = tuple(category_ids[name] for name in label_names)
        self.use_crowded = use_crowded
        self._labels = {category: label for label, category in enumerate(self.category_ids)}
        self._known = set(category_ids.values())
        self.add_getter(("bbox", "label", "area", "crowded"), self._get_annotations)
        self.add_getter("mask", self._get_mask)
        self.keys = self.DEFAULT_KEYS

    def size(self, i: int) -> Size:
        """Return the size of an image as the JSON gives it, or else as its file does.

        Args:
            i (int): Index of the example.

        Returns:
            (int, int): Height and width.
        """
        return super().size(i) if None in self._sizes[i] else self._sizes[i]

    def get_image(self, i: int) -> Array:
        """Read an image, which must be of the size that the JSON gives."""
        img = super().get_image(i)
        if None not in self._sizes[i] and img.shape[1:] != self._sizes[i]:
            size = "x".join(map(str, self._sizes[i]))
            raise DataError(f"{self._files[i]}: must be {size} pixels high and wide as annotated, got {img.shape[1:]}")
        return img

    def _get_annotations(self, i: int) -> tuple[Array, Array, Array, Array]:
        """Return ``bbox``, ``label``, ``area``, ``crowded``."""
        entries = self._entries_of(i)
        bbox = np.array([self._box(i, entry) for entry in entries], dtype=np.float64).reshape(-1, 4)
        area = [self._area(i, entry, box) for entry, box in zip(entries, bbox, strict=True)]
        bbox[:, 2:] += bbox[:, :2]
        return (
            bbox[:, [1, 0, 3, 2]].astype(np.float32),
            np.array([self._labels[entry["category_id"]] for entry in entries], dtype=np.int32),
            np.array(area, dtype=np.float32),
            np.array([bool(entry.get("iscrowd")) for entry in entries], dtype=bool),
        )

    def _get_mask(self, i: int) -> Array:
        height, width = self.size(i)
        masks = [self._mask(i, entry, height, width) for entry in self._entries_of(i)]
        return np.stack(masks) if masks else np.zeros((0, height, width), dtype=bool)

    def _entries_of(self, i: int) -> list[dict]:
        """Return the JSON's entries of an example, of the categories and kinds that were chosen."""
        chosen = []
        for entry in self._annotations[self.image_ids[i]]:
            if entry.get("category_id") not in self._known:
                raise self._error(i, entry, f"have a known category, got {entry.get('category_id')!r}")
            if entry["category_id"] in self._labels and (self.use_crowded or not entry.get("iscrowd")):
                chosen.append(entry)
        return chosen

    def _box(self, i: int, entry: dict) -> list[float]:
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
            raise self._error(i, entry, f"have a bbox of 4 numbers, got {box!r}")
        return [float(v) if math.isfinite(v) else math.nan for v in box]

    def _area(self, i: int, entry: dict, box: Array) -> float:
        area = entry.get("area", box[2] * box[3])
        if not isinstance(area, int | float):
            raise self._error(i, entry, f"have a number as its area, got {area!r}")
        return area

    def _mask(self, i, entry, height, width):
        from pycocotools import mask as coco_mask

        runs = entry.get("segmentation")
        try:
            if isinstance(runs, list):
                _check_polygons(runs)
                runs = coco_mask.merge(coco_mask.frPyObjects(runs, height, width))
            elif isinstance(runs["counts"], list):
                runs = coco_mask.frPyObjects(runs, height, width)
            mask = coco_mask.decode(runs)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise self._error(i, entry, f"be outlined by polygons or run lengths ({error})") from None
        if mask.shape != (height, width):
            raise self._error(i, entry, f"have a mask of {(height, width)} pixels, got {mask.shape}")
        return mask.astype(bool)

    def _error(self, i: int, entry: dict, rule: str) -> DataError:
        return DataError(f"{self.annotations}: object {entry.get('id')!r} of {self._files[i].name} must {rule}")


def _check_polygons(polygons: list) -> None:
    """Check that every polygon is a flat list of at least three points."""
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a list x, y, x, y ... of three points or more")
        if not all(isinstance(value, int | float) for value in polygon):
            raise ValueError("a polygon is a list of numbers")


def _read(path: pathlib.Path) -> dict:
    text = read_text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise DataError(f"{path}: must be COCO's instances: a JSON object with images, annotations and categories")
    return content
