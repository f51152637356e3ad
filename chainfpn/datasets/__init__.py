"""Images with boxes: readers, transforms and iteration."""

from chainfpn.datasets._collate import collate as collate
from chainfpn.datasets._files import DataError as DataError
from chainfpn.datasets._files import read_names as read_names
from chainfpn.datasets._open_dataset import open_dataset as open_dataset
from chainfpn.datasets.aspect_ratio_grouping import AspectRatioGroupedIterator as AspectRatioGroupedIterator
from chainfpn.datasets.aspect_ratio_grouping import orientation_groups as orientation_groups
from chainfpn.datasets.coco import COCODataset as COCODataset
from chainfpn.datasets.csv_boxes import CSVDataset as CSVDataset
from chainfpn.datasets.detection_dataset import DetectionDataset as DetectionDataset
from chainfpn.datasets.keypoints import mirrored_keypoints as mirrored_keypoints
from chainfpn.datasets.large_scale_jitter import LargeScaleJitter as LargeScaleJitter
from chainfpn.datasets.penn_fudan import PennFudanDataset as PennFudanDataset
from chainfpn.datasets.photometric import RandomPhotometric as RandomPhotometric
from chainfpn.datasets.prefetch import PrefetchIterator as PrefetchIterator
from chainfpn.datasets.random_paste import RandomPaste as RandomPaste
from chainfpn.datasets.repeat_factors import repeat_factors as repeat_factors
from chainfpn.datasets.shapes import ShapesDataset as ShapesDataset
from chainfpn.datasets.transforms import Compose as Compose
from chainfpn.datasets.transforms import RandomCrop as RandomCrop
from chainfpn.datasets.transforms import RandomFlip as RandomFlip
from chainfpn.datasets.transforms import RandomScale as RandomScale
from chainfpn.datasets.validated import ValidatedDataset as ValidatedDataset
from chainfpn.datasets.views import ConcatDataset as ConcatDataset
from chainfpn.datasets.views import Subset as Subset
from chainfpn.datasets.voc import VOCDataset as VOCDataset
from chainfpn.datasets.yolo import YOLODataset as YOLODataset
