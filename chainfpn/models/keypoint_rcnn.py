"""Keypoint R-CNN on a ResNet with a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chainfpn.models._detector import build
from chainfpn.models._record import COCO_LEGACY, COCO_V1, KEYPOINTS, coco, detectors
from chainfpn.models.faster_rcnn import RCNNOptions, assemble_rcnn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links.detectors.keypoint_rcnn import KeypointRCNN
    from chainfpn.models._types import AnchorSizes, LabelNames, Norm, Pretrained, Sizes
    from chainfpn.models.faster_rcnn import FasterRCNNSettings

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


@dataclass(frozen=True)
class KeypointOptions(RCNNOptions):
    """Options of Keypoint R-CNN: people, the joints COCO marks, and several sizes in training.

    Attributes:
        n_keypoint (int): Keypoints of each object.
    """

    n_fg_class: int | None = 1
    n_keypoint: int = 17
    min_size: Sizes = (640, 672, 704, 736, 768, 800)


def _assemble(options: KeypointOptions) -> KeypointRCNN:
    from chainfpn.links.detectors.keypoint_head import KeypointRCNNPredictor, keypoint_head
    from chainfpn.links.detectors.keypoint_rcnn import KeypointRCNN

    def branch(norm: Norm) -> dict[str, Any]:
        return {
            "keypoint_head": keypoint_head(options.fpn_channels),
            "keypoint_predictor": KeypointRCNNPredictor(512, options.n_keypoint),
        }

    if options.n_fg_class == 1 and options.label_names is None:
        options = replace(options, label_names=("person",))
    return assemble_rcnn(options, link=KeypointRCNN, branch=branch)


def keypointrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    n_keypoint: int | None = None, class_ids: Sequence[int] | None = None, label_names: LabelNames = None,
    norm_eps: float | None = None, min_size: Sizes | None = None, max_size: int | None = None,
    anchor_sizes: AnchorSizes = None, aspect_ratios: Sequence[float] | None = None,
    **settings: Unpack[FasterRCNNSettings],
) -> KeypointRCNN:  # fmt: skip
    """Build torchvision's ``keypointrcnn_resnet50_fpn``.

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, the default.

    Args:
        n_fg_class (int or None): Labels, background excluded; by default 1.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on
            the fly, or ``'coco'`` or ``'coco_legacy'`` for torchvision's.
        pretrained_backbone (str, os.PathLike or None): Weights of the trunk alone, instead: ``'imagenet'`` or
            ``'imagenet_v2'`` for torchvision's of the classifier, or the path of a classifier's .npz or checkpoint.
        n_keypoint (int or None): Keypoints of each object; 17 by default.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default.
        min_size (int, sequence of int or None): Length of an image's shorter side; 640 to 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; torchvision's by default.
        **settings: Numbers by torchvision's names, see :class:`FasterRCNNSettings`.

    Returns:
        chainfpn.links.KeypointRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``keypointrcnn_resnet50_fpn``.
    """
    return build(KeypointOptions("keypointrcnn_resnet50_fpn"), locals(), _assemble)


def keypointrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None, *,
    pretrained_backbone: Pretrained = None, stages: Sequence[int] | None = None, fpn_channels: int | None = None,
    head_channels: int | None = None, n_keypoint: int | None = None, class_ids: Sequence[int] | None = None,
    label_names: LabelNames = None, norm: str | Norm = None, norm_eps: float | None = None,
    min_size: Sizes | None = None, max_size: int | None = None, anchor_sizes: AnchorSizes = None,
    aspect_ratios: Sequence[float] | None = None,
    **settings: Unpack[FasterRCNNSettings],
) -> KeypointRCNN:  # fmt: skip
    """Build Keypoint R-CNN on any ResNet, any of its stages, any width of pyramid and head.

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, the default.

    Args:
        depth (int, str or None): 18, 34, 50, 101 or 152, or the name of a ResNeXt or wide ResNet such as
            ``'resnext50_32x4d'``; 50 by default.
        n_fg_class (int or None): Labels, background excluded; by default 1.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on
            the fly.
        pretrained_backbone (str, os.PathLike or None): Weights of the trunk alone, instead: ``'imagenet'`` or
            ``'imagenet_v2'`` for torchvision's of the classifier, or the path of a classifier's .npz or checkpoint.
        stages (sequence of int or None): Stages 1 to 4 of the ResNet that the pyramid stands on, ascending and
            without a gap; 1, 2, 3, 4 by default. Those above the last are cut off.
        fpn_channels (int or None): Channels of every level; 256 by default.
        norm (str, callable or None): ``'frozen'``, ``'batch'`` or ``'group'`` normalization, or what makes a link for
            a number of channels; torchvision's choice by default.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default.
        min_size (int, sequence of int or None): Length of an image's shorter side; 640 to 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; torchvision's by default.
        head_channels (int or None): Width of the fully connected layers of the head; 1024 by default.
        n_keypoint (int or None): Keypoints of each object; 17 by default.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        **settings: Numbers by torchvision's names, see :class:`FasterRCNNSettings`.

    Returns:
        chainfpn.links.KeypointRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNN``.
    """
    return build(KeypointOptions("keypointrcnn_resnet_fpn"), locals(), _assemble)
