"""Reader of annotations in COCO's form."""

import json
import math
import pathlib

import numpy as np

from chainfpn.datasets.detection_dataset import DataError, DetectionDataset, read_text, select


class COCODataset(DetectionDataset):
    """Objects with boxes and masks from an instances JSON and a folder of images.

    Examples come in the order of the images' ids, labels count the categories from 0 in the order of theirs. Images
    without objects stay in.

    Keys: ``img``, ``bbox``, ``label``, ``mask``, ``area``, ``crowded``. Masks need pycocotools.

    Args:
        annotations (str or os.PathLike): The JSON.
        images (str or os.PathLike): Folder that its file names are in.
        label_names (sequence of str or None): Only objects of these categories, labelled in this order.
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

    def __init__(self, annotations, images, *, label_names=None, use_crowded=False, names=None, without=None):
        self.annotations, images = pathlib.Path(annotations), pathlib.Path(images)
        if not images.is_dir():
            raise DataError(f"{images}: is not a folder of images")
        content = _read(self.annotations)
        try:
            categories = sorted(content["categories"], key=lambda category: category["id"])
            category_ids = {category["name"]: category["id"] for category in categories}
            infos = sorted(content["images"], key=lambda info: info["id"])
            infos = [infos[i] for i in select([info["file_name"] for info in infos], names=names, without=without)]
            self.image_ids = tuple(info["id"] for info in infos)
            self._sizes = [(info.get("height"), info.get("width")) for info in infos]
            self._objects = {image_id: [] for image_id in self.image_ids}
            for annotation in content["annotations"]:
                if annotation["image_id"] in self._objects:
                    self._objects[annotation["image_id"]].append(annotation)
        except KeyError as error:
            raise DataError(f"{self.annotations}: an entry lacks {error}") from None
        except (TypeError, AttributeError):
            raise DataError(f"{self.annotations}: its entries must be JSON objects") from None
        if len(category_ids) != len(categories):
            raise DataError(f"{self.annotations}: two of its categories have one name")
        label_names = tuple(category_ids) if label_names is None else tuple(label_names)
        unknown = [name for name in label_names if name not in category_ids]
        if unknown:
            raise DataError(f"{self.annotations}: has no category {unknown[0]!r}; it has {', '.join(category_ids)}")
        super().__init__([images / info["file_name"] for info in infos], label_names)
        self.category_ids = tuple(category_ids[name] for name in label_names)
        self.use_crowded = use_crowded
        self._labels = {category: label for label, category in enumerate(self.category_ids)}
        self._known = set(category_ids.values())
        self.add_getter(("bbox", "label", "area", "crowded"), self.get_annotation)
        self.add_getter("mask", self.get_mask)
        self.keys = self.DEFAULT_KEYS

    def size(self, i):
        """Tell the size of an image as the JSON says it, or else as its file does.

        Args:
            i (int): Index of the example.

        Returns:
            (int, int): Height and width.
        """
        return super().size(i) if None in self._sizes[i] else self._sizes[i]

    def get_image(self, i):
        """Read an image.

        Args:
            i (int): Index of the example.

        Returns:
            array: float32, (3, H, W), RGB, 0..255.

        Raises:
            DataError: if the file is not there, not an image, or not of the size that the JSON says.
        """
        img = super().get_image(i)
        if None not in self._sizes[i] and img.shape[1:] != self._sizes[i]:
            said = "x".join(map(str, self._sizes[i]))
            raise DataError(f"{self._files[i]}: must be {said} pixels high and wide as annotated, got {img.shape[1:]}")
        return img

    def get_annotation(self, i):
        """Return the boxes of an example.

        Args:
            i (int): Index of the example.

        Returns:
            tuple: ``bbox``, ``label``, ``area``, ``crowded``.

        Raises:
            DataError: if an entry of the JSON is not as it should be.
        """
        objects = self._chosen(i)
        bbox = np.array([self._box(i, entry) for entry in objects], dtype=np.float64).reshape(-1, 4)
        area = [self._area(i, entry, box) for entry, box in zip(objects, bbox, strict=True)]
        bbox[:, 2:] += bbox[:, :2]
        return (
            bbox[:, [1, 0, 3, 2]].astype(np.float32),
            np.array([self._labels[entry["category_id"]] for entry in objects], dtype=np.int32),
            np.array(area, dtype=np.float32),
            np.array([bool(entry.get("iscrowd")) for entry in objects], dtype=bool),
        )

    def get_mask(self, i):
        """Draw the masks of an example.

        Args:
            i (int): Index of the example.

        Returns:
            array: bool, (R, H, W).

        Raises:
            DataError: if an outline is neither polygons nor run lengths.
            ImportError: if pycocotools is not installed.
        """
        height, width = self.size(i)
        masks = [self._mask(i, entry, height, width) for entry in self._chosen(i)]
        return np.stack(masks) if masks else np.zeros((0, height, width), dtype=bool)

    def _chosen(self, i):
        """Return the entries of the objects of an example that are asked for."""
        chosen = []
        for entry in self._objects[self.image_ids[i]]:
            if entry.get("category_id") not in self._known:
                raise DataError(f"{self._entry(i, entry)} must have a known category, got {entry.get('category_id')!r}")
            if entry["category_id"] in self._labels and (self.use_crowded or not entry.get("iscrowd")):
                chosen.append(entry)
        return chosen

    def _box(self, i, entry):
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
            raise DataError(f"{self._entry(i, entry)} must have a bbox of 4 numbers, got {box!r}")
        return [float(v) if math.isfinite(v) else math.nan for v in box]

    def _area(self, i, entry, box):
        area = entry.get("area", box[2] * box[3])
        if not isinstance(area, int | float):
            raise DataError(f"{self._entry(i, entry)} must have a number as its area, got {area!r}")
        return area

    def _mask(self, i, entry, height, width):
        from pycocotools import mask as coco_mask

        outline = entry.get("segmentation")
        try:
            if isinstance(outline, list):
                _check_polygons(outline)
                runs = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
            elif isinstance(outline["counts"], list):
                runs = coco_mask.frPyObjects(outline, height, width)
            else:
                runs = outline
            mask = coco_mask.decode(runs)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise DataError(f"{self._entry(i, entry)} must be outlined by polygons or run lengths ({error})") from None
        if mask.shape != (height, width):
            raise DataError(f"{self._entry(i, entry)} must have a mask of {(height, width)} pixels, got {mask.shape}")
        return mask.astype(bool)

    def _entry(self, i, entry):
        return f"{self.annotations}: object {entry.get('id')!r} of {self._files[i].name}"


def _check_polygons(polygons):
    """Check that every polygon is a flat list of at least three points."""
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a list x, y, x, y ... of three points or more")
        if not all(isinstance(value, int | float) for value in polygon):
            raise ValueError("a polygon is a list of numbers")


def _read(path):
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise DataError(f"{path}: must be COCO's instances: a JSON object with images, annotations and categories")
    return content
