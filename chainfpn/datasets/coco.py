"""Reader of annotations in COCO's form."""

import math
import os
import pathlib
from typing import Any

import numpy as np

from chainfpn._attributes import Fixed
from chainfpn._typing import Array, Labels, PathLike, Size
from chainfpn.datasets._coco_json import ImageInfo, Instances, plain_id, read_instances, sound_outline
from chainfpn.datasets._files import MAX_NUMBER, DataError, Names, check_unique, choose_labels, find_image, select
from chainfpn.datasets._json import are_numbers, is_number
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.keypoints import parse_keypoints


class COCODataset(DetectionDataset):
    """Images with boxes, masks and keypoints from an instances JSON and a folder of images.

    Examples come in the order of the images' ids, labels count the categories from 0 in the order of theirs. Images
    without annotations stay in. An object without a known category and a box of four numbers is left out, and, where
    masks are asked for, one without an outline, and, where keypoints are, one that has not all of its category's.

    Keys: ``img``, ``bbox``, ``label``, ``mask``, ``area``, ``crowded``, and where the categories name the same
    keypoints ``point`` and ``visible``; of a category that names none no keypoint is visible. Masks need pycocotools.

    Args:
        annotations (str or os.PathLike): The JSON; or what was read of it already, Instances.
        images (str or os.PathLike): Folder that its file names are in.
        label_names (sequence of str or None): Only annotations of these categories, labelled in this order.
        use_crowded (bool): Keep crowds, which are no single objects.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Attributes:
        category_ids (tuple of int or str): Category of each label.
        image_ids (tuple): Id of the image of each example.

    Raises:
        DataError: if the JSON is not COCO's, the folder is not there, ids or names are not unique, or a name is of no
            image or category.

    Source:
        Lin et al. 2014, cocodataset.org/#format-data.
    """

    use_crowded = Fixed()

    def __init__(
        self,
        annotations: PathLike | Instances,
        images: PathLike,
        *,
        label_names: Labels | None = None,
        use_crowded: bool = False,
        names: Names = None,
        without: Names = None,
    ) -> None:
        folder = pathlib.Path(images)
        if not folder.is_dir():
            raise DataError(f"{folder}: is not a folder of images")
        found = annotations if isinstance(annotations, Instances) else read_instances(pathlib.Path(annotations))
        self.annotations, category_ids, infos, entries, keypoint_names = found
        labels = choose_labels(self.annotations, label_names, category_ids, tuple(category_ids))
        files = [info.file_name for info in infos]
        chosen = [infos[i] for i in select(files, names=names, without=without, source=self.annotations)]
        files = [info.file_name for info in chosen]
        paths = _locate(folder, files)
        check_unique(self.annotations, "images", "file", map(str, paths), files)
        super().__init__(paths, labels)
        self.image_ids = tuple(info.raw_id for info in chosen)
        self.category_ids = tuple(category_ids[name] for name in self.label_names)
        self.use_crowded = use_crowded
        self._sizes = [info.size for info in chosen]
        self._labels = {category: label for label, category in enumerate(self.category_ids)}
        self._objects: list[list[dict]] = [[] for _ in chosen]
        self._flawed: dict[tuple[int, str], set[int]] = {}  # image and key to the objects that have no such thing
        self._add_objects(entries, {info.id for info in infos}, chosen, set(category_ids.values()))
        self.add_getter(("bbox", "label", "area", "crowded"), self._get_annotations)
        self.add_getter("mask", self._get_mask)
        of_categories = {keypoint_names[category] for category in self.category_ids} - {()}
        if len(of_categories) == 1:
            (self.keypoint_names,) = of_categories
            self.add_getter(("point", "visible"), self._get_keypoints)
        self.keys = self.DEFAULT_KEYS

    def _add_objects(self, entries: list[dict], listed: set, infos: list[ImageInfo], known: set) -> None:
        """Give every image its objects; leave out what cannot be understood or was not chosen."""
        indices = {info.id: i for i, info in enumerate(infos)}
        for entry in entries:
            image, category = plain_id(entry["image_id"]), plain_id(entry.get("category_id"))
            i = indices.get(image) if image is not None else None
            crowded = entry.get("iscrowd") in (1, "1")
            if i is None:
                if image not in listed:
                    reason = "objects of an image that is not listed"
                    owner = f"{self.annotations}: object {entry.get('id')!r}"
                    self.left_out.note(f"{owner} is of an image that is not listed, {entry['image_id']!r}", reason)
            elif category not in known:
                rule = f"have a known category, got {entry.get('category_id')!r}"
                self._leave_out(i, entry, rule, "objects of an unknown category")
            elif category not in self._labels:
                self.left_out.counts["objects of other categories"] += 1
            elif crowded and not self.use_crowded:
                self.left_out.counts["crowds"] += 1
            elif not are_numbers(entry.get("bbox"), 4):
                rule = f"have a bbox of 4 numbers, got {entry.get('bbox')!r}"
                self._leave_out(i, entry, rule, "objects without a box of four numbers")
            else:
                self._objects[i].append({**entry, "category_id": category, "iscrowd": crowded})

    def _read(self, i: int, entries: list) -> tuple:
        """Read, without the objects that have no mask or keypoints if those are asked for."""
        values = super()._read(i, entries)
        requested = {"point" if key == "visible" else key for key, _, _ in entries}
        bad = set().union(*(self._flawed.get((i, key), ()) for key in requested))
        if not bad:
            return values
        good = [k for k in range(len(self._objects[i])) if k not in bad]
        pairs = zip(values, entries, strict=True)
        return tuple(value if key == "img" else value[good] for value, (key, _, _) in pairs)

    def _get_annotations(self, i: int) -> tuple[Array, Array, Array, Array]:
        """Return ``bbox``, ``label``, ``area``, ``crowded``."""
        entries = self._objects[i]
        values = [[float(v) if abs(v) < MAX_NUMBER else math.nan for v in entry["bbox"]] for entry in entries]
        bbox = np.array(values, dtype=np.float64).reshape(-1, 4)
        area = [_area(entry, box) for entry, box in zip(entries, bbox, strict=True)]
        bbox[:, 2:] += bbox[:, :2]
        return (
            bbox[:, [1, 0, 3, 2]].astype(np.float32),
            np.array([self._labels[entry["category_id"]] for entry in entries], dtype=np.int32),
            np.array(area, dtype=np.float32),
            np.array([entry["iscrowd"] for entry in entries], dtype=bool),
        )

    def _get_mask(self, i: int) -> Array:
        """Return a mask for each object, empty where the outline is none, which :meth:`_read` leaves out."""
        size = self.annotated_size(i) or self._frame(i)[0]
        mask = np.zeros((len(self._objects[i]), *size), dtype=bool)
        for k, entry in enumerate(self._objects[i]):
            mask[k] = self._mask(i, k, entry, size)
        return mask

    def _mask(self, i: int, k: int, entry: dict, size: Size) -> Array | bool:
        """Return the mask of object k, or False, and note that there is none."""
        try:
            return _draw(sound_outline(entry.get("segmentation")), size)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            self._note(i, k, "mask", f"be outlined by polygons or run lengths ({error})", "objects without a mask")
            return False

    def _get_keypoints(self, i: int) -> tuple[Array, Array]:
        """Return ``point``, ``visible``."""
        values = np.zeros((len(self._objects[i]), len(self.keypoint_names), 3), dtype=np.float32)  # (R, K, 3)
        for k, entry in enumerate(self._objects[i]):
            found = parse_keypoints(entry.get("keypoints"), len(self.keypoint_names))
            if found is None:
                rule = f"have x, y and visibility of {len(self.keypoint_names)} keypoints"
                self._note(i, k, "point", rule, "objects with other keypoints than their category")
            else:
                values[k] = found
        return values[..., :2], values[..., 2] > 0

    def _note(self, i: int, k: int, key: str, rule: str, reason: str) -> None:
        """Note, once, that object k is left out where a key is asked for."""
        flawed = self._flawed.setdefault((i, key), set())
        if k not in flawed:
            flawed.add(k)
            self._leave_out(i, self._objects[i][k], rule, reason)

    def _leave_out(self, i: int, entry: dict, rule: str, reason: str) -> None:
        sentence = f"{self.annotations}: object {entry.get('id')!r} of {self._files[i].name} must {rule}"
        self.left_out.note(sentence, reason)


def _locate(folder: pathlib.Path, names: list[str]) -> list[pathlib.Path]:
    """Return the paths of images, which are looked for only where the first is not called as it is said."""
    paths = [folder / name for name in names]
    if paths and os.path.exists(paths[0]) and not any("\\" in name for name in names):
        return paths
    return [find_image([folder], name) for name in names]


def _area(entry: dict, box: Array) -> float:
    """Return the area that an object has, or else that of its box."""
    area: Any = entry.get("area")
    return area if is_number(area) and abs(area) < MAX_NUMBER else box[2] * box[3]


def _draw(outline: Any, size: Size) -> Array:
    """Return the mask of an outline."""
    from pycocotools import mask as coco_mask

    if outline is None:
        raise ValueError("there is no polygon of three points or more")
    if isinstance(outline, list):
        outline = coco_mask.merge(coco_mask.frPyObjects(outline, *size))
    elif isinstance(outline["counts"], list):
        outline = coco_mask.frPyObjects(outline, *size)
    mask = coco_mask.decode(outline)
    if mask.shape != tuple(size):
        raise ValueError(f"the mask must have {tuple(size)} pixels, got {mask.shape}")
    return mask
