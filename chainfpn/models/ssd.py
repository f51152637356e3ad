"""SSD300 on VGG-16, and SSDLite320 on MobileNetV3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from chainfpn.models._build import build
from chainfpn.models._dense_options import DenseSettings
from chainfpn.models._options import DetectorArguments, DetectorOptions, ImageSettings
from chainfpn.models._record import CAFFE_MEAN, CAFFE_STD, COCO_V1, coco, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import SSD
    from chainfpn.models._trunks import TrunkClassifier
    from chainfpn.models._types import Pretrained

_COCO = coco("ssd300_vgg16_coco-b556d3b4", box=25.1, eps=None, mean=CAFFE_MEAN, std=CAFFE_STD)

_HALF = (0.5, 0.5, 0.5)
_LITE_COCO = coco("ssdlite320_mobilenet_v3_large_coco-a79551df", box=21.3, eps=1e-3, mean=_HALF, std=_HALF)

RECORDS = detectors(
    "ssd", __name__, {"ssd300_vgg16": {COCO_V1: _COCO}, "ssdlite320_mobilenet_v3_large": {COCO_V1: _LITE_COCO}}
)
__all__ = [model.name for model in RECORDS]

#: Per map: ratios of the default boxes, pixels per position; and the boxes' shares of the image, with one to follow.
ASPECT_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
STEPS = (8, 16, 32, 64, 100, 300)
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)


class SSDArguments(DetectorArguments, ImageSettings, DenseSettings, total=False):
    """Options of SSD: labels, and numbers, by torchvision's names: arguments of :class:`~chainfpn.links.SSD`.

    Attributes:
        class_ids (sequence of int): For each label the class id of the network.
        iou_thresh (float): Smallest IoU of a foreground box with a ground truth.
        positive_fraction (float): Share of foreground among the boxes of the classification loss.
    """

    class_ids: Sequence[int]
    iou_thresh: float
    positive_fraction: float


class SSDLiteArguments(SSDArguments, total=False):
    """Options of SSDLite, see :class:`SSDLiteOptions`."""

    norm_eps: float
    reduced_tail: bool


@dataclass(frozen=True)
class SSDLiteOptions(DetectorOptions):
    """Options of SSDLite.

    Attributes:
        reduced_tail (bool): See :class:`~chainfpn.links.detectors.ssdlite.SSDLiteMobileNetV3`.
        norm_eps (float): Epsilon of the batch normalizations.
    """

    reduced_tail: bool = True
    norm_eps: float = 1e-3


_LITE = {"score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300}

#: Every option's default, by builder.
DEFAULTS = {
    "ssd300_vgg16": DetectorOptions("ssd300_vgg16"),
    "ssdlite320_mobilenet_v3_large": SSDLiteOptions("ssdlite320_mobilenet_v3_large", settings=_LITE),
}


def ssd300_vgg16(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SSDArguments]
) -> SSD:
    """Build torchvision's ``ssd300_vgg16``, for images of 300 x 300 pixels.

    Options: :class:`SSDArguments`. Source: Liu et al. 2016 (SSD); torchvision 0.14.
    """
    return build("ssd300_vgg16", locals(), _assemble, trunk_classifier=_trunk_classifier)


def _assemble(options: DetectorOptions) -> SSD:
    from chainfpn.boxes import DefaultBoxGenerator
    from chainfpn.links import SSD, SSDVGG16, Preprocess, SSDHead

    backbone = SSDVGG16()
    anchors = DefaultBoxGenerator(ASPECT_RATIOS, SCALES, STEPS)
    image = {"mean": CAFFE_MEAN, "std": CAFFE_STD, "size_divisible": 1, **options.image_settings}
    return SSD(
        backbone,
        SSDHead(backbone.out_channels, anchors.n_anchors, options.n_class_id),
        anchors,
        **options.base(Preprocess(fixed_size=(300, 300), **image)),
        **options.head_settings(),
    )


def _trunk_classifier(options: DetectorOptions) -> TrunkClassifier:
    from chainfpn.links.backbones.ssd_vgg import POOL4
    from chainfpn.models._trunks import TrunkClassifier

    prefixes = {f"features/{i}/": f"backbone/features/{i}/" for i in range(POOL4)}
    prefixes |= {f"features/{i}/": f"backbone/extra/0/{i - POOL4}/" for i in range(POOL4, POOL4 + 7)}
    return TrunkClassifier("vgg16", prefixes, ("classifier/",), {"imagenet": "imagenet_features"})


def ssdlite320_mobilenet_v3_large(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SSDLiteArguments]
) -> SSD:
    """Build torchvision's ``ssdlite320_mobilenet_v3_large``, for images of 320 x 320 pixels.

    Options: :class:`SSDLiteArguments`. Source: Howard et al. 2019, section 6.3; torchvision 0.14.
    """
    arguments = {**locals()}
    arguments["options"] = {"reduced_tail": options.get("pretrained_backbone") is None, **options}
    return build("ssdlite320_mobilenet_v3_large", arguments, _assemble_lite, trunk_classifier=_lite_trunk_classifier)


def _assemble_lite(options: SSDLiteOptions) -> SSD:
    from chainfpn.boxes import DefaultBoxGenerator
    from chainfpn.links import SSD, BatchNormalization, Preprocess
    from chainfpn.links.detectors.ssdlite import SSDLiteHead, SSDLiteMobileNetV3

    norm = partial(BatchNormalization, eps=options.norm_eps, decay=0.97)
    backbone = SSDLiteMobileNetV3(norm=norm, reduced_tail=options.reduced_tail)
    scales = (*(0.2 + (0.95 - 0.2) * level / 5 for level in range(6)), 1.0)
    anchors = DefaultBoxGenerator(((2, 3),) * 6, scales, [320 / n for n in (20, 10, 5, 3, 2, 1)])
    image = {"mean": _HALF, "std": _HALF, "size_divisible": 1, **options.image_settings}
    return SSD(
        backbone,
        SSDLiteHead(backbone.out_channels, anchors.n_anchors, options.n_class_id, norm=norm),
        anchors,
        **options.base(Preprocess(fixed_size=(320, 320), **image)),
        **options.head_settings(),
    )


def _lite_trunk_classifier(options: SSDLiteOptions) -> TrunkClassifier:
    from chainfpn.links.detectors.ssdlite import C4
    from chainfpn.models._trunks import TrunkClassifier

    prefixes = {f"features/{i}/": f"backbone/features/0/{i}/" for i in range(C4)}
    prefixes |= {f"features/{C4}/block/0/": f"backbone/features/0/{C4}/"}
    prefixes |= {f"features/{C4}/block/": "backbone/features/1/0/"}
    prefixes |= {f"features/{i}/": f"backbone/features/1/{i - C4}/" for i in range(C4 + 1, C4 + 4)}
    return TrunkClassifier("mobilenet_v3_large", prefixes, ("classifier/",))
