"""SSD300 on VGG-16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainfpn.models._detector import DetectorOptions, ImageSettings, build
from chainfpn.models._record import CAFFE_MEAN, CAFFE_STD, COCO_V1, coco, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links.detectors.ssd import SSD
    from chainfpn.models._trunk_weights import TrunkClassifier
    from chainfpn.models._types import LabelNames, Pretrained

_COCO = coco("ssd300_vgg16_coco-b556d3b4", box=25.1, eps=None, mean=CAFFE_MEAN, std=CAFFE_STD)

RECORDS = detectors("ssd", __name__, {"ssd300_vgg16": {COCO_V1: _COCO}})
__all__ = [model.name for model in RECORDS]

#: Per map: ratios of the default boxes, pixels per position; and the boxes' shares of the image, with one to follow.
ASPECT_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
STEPS = (8, 16, 32, 64, 100, 300)
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)


class SSDSettings(ImageSettings, total=False):
    """Numbers of SSD, by torchvision's names: arguments of :class:`~chainfpn.links.SSD`.

    Attributes:
        score_thresh (float): Lowest score of a detection.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class is suppressed.
        detections_per_img (int): Most detections per image.
        topk_candidates (int): Best-scored candidates of each class that enter NMS.
        iou_thresh (float): Smallest IoU of a foreground box with a ground truth.
        positive_fraction (float): Share of foreground among the boxes of the classification loss.
    """

    score_thresh: float
    nms_thresh: float
    detections_per_img: int
    topk_candidates: int
    iou_thresh: float
    positive_fraction: float


@dataclass(frozen=True)
class SSDOptions(DetectorOptions):
    """Options of SSD."""

    allowed: type = SSDSettings


def ssd300_vgg16(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, **settings: Unpack[SSDSettings],
) -> SSD:  # fmt: skip
    """Build torchvision's ``ssd300_vgg16``, which sees every image as 300 x 300 pixels.

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, the default.

    Args:
        n_fg_class (int or None): Labels, background excluded; by default COCO's 80 on torchvision's 91 class ids.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on the fly, or
            ``'coco'`` for torchvision's.
        pretrained_backbone (str, os.PathLike or None): Weights of the trunk alone, instead: ``'imagenet'`` for those
            that torchvision publishes for this input, or the path of a classifier's .npz or checkpoint.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        **settings: Numbers by torchvision's names, see :class:`SSDSettings`.

    Returns:
        chainfpn.links.SSD: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Liu et al. 2016 (SSD); torchvision 0.14 ``ssd300_vgg16``.
    """
    return build(SSDOptions("ssd300_vgg16"), locals(), _assemble, trunk_classifier=_trunk_classifier)


def _assemble(options: SSDOptions) -> SSD:
    from chainfpn.boxes.default_boxes import DefaultBoxGenerator
    from chainfpn.links.backbones.ssd_vgg import SSDVGG16
    from chainfpn.links.detectors.preprocess import Preprocess
    from chainfpn.links.detectors.ssd import SSD, SSDHead

    backbone = SSDVGG16()
    anchors = DefaultBoxGenerator(ASPECT_RATIOS, SCALES, STEPS)
    statistics = {"mean": CAFFE_MEAN, "std": CAFFE_STD, **options.settings_of("image_")}
    return SSD(
        backbone,
        SSDHead(backbone.out_channels, anchors.n_anchors, options.n_class_id),
        anchors,
        **options.base(Preprocess(**statistics, fixed_size=(300, 300), size_divisible=1)),
        **options.settings_but("image_"),
    )


def _trunk_classifier(options: SSDOptions) -> TrunkClassifier:
    from chainfpn.links.backbones.ssd_vgg import POOL4
    from chainfpn.models._trunk_weights import TrunkClassifier

    places = {f"features/{i}/": f"backbone/features/{i}/" for i in range(POOL4)}
    places |= {f"features/{i}/": f"backbone/extra/0/{i - POOL4}/" for i in range(POOL4, POOL4 + 7)}
    return TrunkClassifier("vgg16", places, ("classifier/",), {"imagenet": "imagenet_features"})
