"""What the rules of a framework say of its detectors of one stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from chainfpn.boxes.anchors import AnchorGenerator, MMDetectionPointGenerator
from chainfpn.boxes.box_coder import MAX_LOG_SCALE, BoxCoder, LinearBoxCoder
from chainfpn.links.detectors.fcos import FCOSHead
from chainfpn.links.detectors.scaled_fcos_head import ScaledFCOSHead


def _same_on_all_levels(channels: int, n_output: int, n_levels: int) -> FCOSHead:
    return FCOSHead(channels, n_output)


class DenseRules(NamedTuple):
    """What is not in the weights of a RetinaNet or an FCOS, beside what holds for all detectors of a framework.

    mmdetection suppresses in the photograph's pixels, which drops the same boxes as in the batch's: an IoU does not
    change when all heights and all widths are scaled.

    Attributes:
        settings (dict): Options of the detector.
        image (dict): Options of the preprocess.
        background (bool): Whether the network has an output for the background, which is the first and is not used.
        p6_from_trunk, p7_relu (bool): See :class:`~chainfpn.models._dense_options.DenseOptions`.
        round_size (callable): What becomes of the sizes of anchors between powers of two.
        anchors (callable or None): Makes the anchors, where they are not those of the framework.
        head (callable): Makes FCOS' head for channels, classes and levels.
    """

    settings: Mapping[str, Any] = {}
    image: Mapping[str, Any] = {}
    background: bool = True
    p6_from_trunk: bool = False
    p7_relu: bool = True
    round_size: Callable[[float], float] = int
    anchors: Callable[..., AnchorGenerator] | None = None
    head: Callable[..., Any] = _same_on_all_levels


#: Wherever a place lies in a box: mmdetection samples around no centre.
_EVERYWHERE = 1e6

#: What drops only boxes without an area.
NOT_EMPTY = float(np.finfo(np.float32).tiny)

TORCHVISION = DenseRules()

MMDETECTION_RETINANET = DenseRules(
    {
        "detections_per_img": 100,
        "min_size": NOT_EMPTY,
        "box_coder": BoxCoder((1, 1, 1, 1), min_log_scale=-MAX_LOG_SCALE),
    },
    background=False,
    p6_from_trunk=True,
    p7_relu=False,
    round_size=float,
)
#: Its boxes are clipped in the photograph alone.
DETECTRON2_RETINANET = MMDETECTION_RETINANET._replace(
    settings={"detections_per_img": 100, "clip_before_nms": False}, p7_relu=True
)

MMDETECTION_FCOS = DenseRules(
    {
        "score_thresh": 0.05,
        "nms_thresh": 0.5,
        "min_size": NOT_EMPTY,
        "rank_by_class": True,
        "center_sampling_radius": _EVERYWHERE,
        "box_coder": LinearBoxCoder(normalize_by_size=False),
    },
    background=False,
    anchors=MMDetectionPointGenerator,
    head=ScaledFCOSHead,
)
#: The means of Caffe's ResNet are others than those that mmdetection's other detectors are given.
MMDETECTION_CAFFE_FCOS = MMDETECTION_FCOS._replace(image={"mean": (102.9801, 115.9465, 122.7717)})
