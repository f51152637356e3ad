"""Images with boxes: readers, transforms and iteration."""

from chainfpn.datasets._collate import collate
from chainfpn.datasets._open_dataset import open_dataset
from chainfpn.datasets.aspect_ratio_grouping import AspectRatioGroupedIterator, orientation_groups
from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.concat import ConcatDataset
from chainfpn.datasets.detection_dataset import DataError, DetectionDataset, read_names
from chainfpn.datasets.penn_fudan import PennFudanDataset
from chainfpn.datasets.photometric import RandomPhotometric
from chainfpn.datasets.random_paste import RandomPaste
from chainfpn.datasets.shapes import ShapesDataset
from chainfpn.datasets.subset import Subset
from chainfpn.datasets.transforms import Compose, RandomCrop, RandomFlip, RandomScale
from chainfpn.datasets.validated import ValidatedDataset
from chainfpn.datasets.voc import VOCDataset

__all__ = [
    "AspectRatioGroupedIterator",
    "COCODataset",
    "Compose",
    "ConcatDataset",
    "DataError",
    "DetectionDataset",
    "PennFudanDataset",
    "RandomCrop",
    "RandomFlip",
    "RandomPaste",
    "RandomPhotometric",
    "RandomScale",
    "ShapesDataset",
    "Subset",
    "VOCDataset",
    "ValidatedDataset",
    "collate",
    "open_dataset",
    "orientation_groups",
    "read_names",
]
