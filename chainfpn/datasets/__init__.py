"""Images with boxes: readers, transforms and iteration."""

from chainfpn.datasets.chosen import ChosenDataset
from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.collate import collate
from chainfpn.datasets.detection_dataset import DataError, DetectionDataset, read_names
from chainfpn.datasets.grouped_iterator import GroupedIterator, orientation_groups
from chainfpn.datasets.joined import JoinedDataset
from chainfpn.datasets.open_dataset import open_dataset
from chainfpn.datasets.penn_fudan import PennFudanDataset
from chainfpn.datasets.photometric import RandomPhotometric
from chainfpn.datasets.random_paste import RandomPaste
from chainfpn.datasets.shapes import ShapesDataset
from chainfpn.datasets.skip_broken import SkipBroken
from chainfpn.datasets.transforms import Compose, RandomCrop, RandomFlip, RandomScale
from chainfpn.datasets.voc import VOCDataset

__all__ = [
    "COCODataset",
    "ChosenDataset",
    "Compose",
    "DataError",
    "DetectionDataset",
    "GroupedIterator",
    "JoinedDataset",
    "PennFudanDataset",
    "RandomCrop",
    "RandomFlip",
    "RandomPaste",
    "RandomPhotometric",
    "RandomScale",
    "ShapesDataset",
    "SkipBroken",
    "VOCDataset",
    "collate",
    "open_dataset",
    "orientation_groups",
    "read_names",
]
