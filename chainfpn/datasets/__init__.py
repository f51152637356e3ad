"""Images with boxes: readers, transforms and iteration."""

from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.collate import collate
from chainfpn.datasets.detection_dataset import DataError, DetectionDataset, read_names
from chainfpn.datasets.penn_fudan import PennFudanDataset
from chainfpn.datasets.photometric import RandomPhotometric
from chainfpn.datasets.transforms import Compose, RandomCrop, RandomFlip, RandomScale

__all__ = [
    "COCODataset",
    "Compose",
    "DataError",
    "DetectionDataset",
    "PennFudanDataset",
    "RandomCrop",
    "RandomFlip",
    "RandomPhotometric",
    "RandomScale",
    "collate",
    "read_names",
]
