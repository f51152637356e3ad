"""Keypoint R-CNN on a ResNet with a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chainfpn.errors import InvalidArgument
from chainfpn.models._build import build
from chainfpn.models._record import COCO_LEGACY, COCO_V1, KEYPOINTS, coco, detectors
from chainfpn.models.faster_rcnn import AnyFasterRCNNArguments, FasterRCNNArguments, RCNNOptions, assemble_rcnn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import KeypointRCNN
    from chainfpn.models._types import Norm, Pretrained, Sides


_PERSON = ("person",)
_V1 = coco("keypointrcnn_resnet50_fpn_coco-fc266e95", box=54.6, keypoint=65.0, eps=0.0, label_names=_PERSON)
_LEGACY = coco("keypointrcnn_resnet50_fpn_coco-9f466800", box=50.6, keypoint=61.1, label_names=_PERSON)

RECORDS = detectors(
    "keypoint_rcnn",
    __name__,
    {"keypointrcnn_resnet50_fpn": {COCO_V1: _V1, COCO_LEGACY: _LEGACY}, "keypointrcnn_resnet_fpn": {}},
    KEYPOINTS,
)
__all__ = [model.name for model in RECORDS]


class KeypointRCNNArguments(FasterRCNNArguments, total=False):
    """Options of torchvision's Keypoint R-CNN, see :class:`KeypointOptions`."""

    n_keypoint: int
    keypoint_names: Sequence[str]


class AnyKeypointRCNNArguments(AnyFasterRCNNArguments, total=False):
    """Options of Keypoint R-CNN on any trunk, see :class:`KeypointOptions`."""

    n_keypoint: int
    keypoint_names: Sequence[str]
    keypoint_layers: Sequence[int]


@dataclass(frozen=True)
class KeypointOptions(RCNNOptions):
    """Options of Keypoint R-CNN: people, the joints COCO marks, and several sizes in training.

    Attributes:
        n_keypoint (int): Keypoints of each object.
        keypoint_names (sequence of str or None): Their names; an attribute of the detector, kept beside weights.
        keypoint_layers (sequence of int): Channels of each convolution of the keypoint head.
    """

    n_fg_class: int | None = 1
    n_keypoint: int = 17
    keypoint_names: Sequence[str] | None = None
    keypoint_layers: Sequence[int] = (512,) * 8
    min_size: Sides = (640, 672, 704, 736, 768, 800)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keypoint_names is not None and len(self.keypoint_names) != self.n_keypoint:
            rule = f"None or have n_keypoint = {self.n_keypoint} entries"
            raise InvalidArgument(self.name, "keypoint_names", rule, self.keypoint_names)


#: Every option's default, by builder.
DEFAULTS = {name: KeypointOptions(name) for name in __all__}


def _assemble(options: KeypointOptions) -> KeypointRCNN:
    from chainfpn.links import KeypointRCNN, KeypointRCNNPredictor, keypoint_head

    def branch(norm: Norm | None) -> dict[str, Any]:
        return {
            "keypoint_head": keypoint_head(options.fpn_channels, options.keypoint_layers),
            "keypoint_predictor": KeypointRCNNPredictor(options.keypoint_layers[-1], options.n_keypoint),
        }

    if options.n_fg_class == 1 and options.label_names is None:
        options = replace(options, label_names=("person",))
    link = assemble_rcnn(options, link=KeypointRCNN, branch=branch)
    link.keypoint_names = None if options.keypoint_names is None else tuple(options.keypoint_names)
    return link


def keypointrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[KeypointRCNNArguments]
) -> KeypointRCNN:
    """Build torchvision's ``keypointrcnn_resnet50_fpn``.

    Options: :class:`KeypointRCNNArguments`. Source: He et al. 2017, section 5; torchvision 0.14.
    """
    return build("keypointrcnn_resnet50_fpn", locals(), _assemble)


def keypointrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyKeypointRCNNArguments],
) -> KeypointRCNN:  # fmt: skip
    """Build Keypoint R-CNN on any trunk, any of its stages, any width of pyramid and head.

    Options: :class:`AnyKeypointRCNNArguments`. Source: He et al. 2017, section 5; torchvision 0.14.
    """
    return build("keypointrcnn_resnet_fpn", locals(), _assemble)
