"""FCOS on a ResNet with a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainfpn.models._detector import DenseOptions, ImageSettings, build
from chainfpn.models._record import COCO_V1, coco, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links.detectors.fcos import FCOS
    from chainfpn.models._types import AnchorSizes, LabelNames, Norm, Pretrained, Sizes

RECORDS = detectors(
    "fcos",
    __name__,
    {"fcos_resnet50_fpn": {COCO_V1: coco("fcos_resnet50_fpn_coco-99b0c9b7", box=39.2)}, "fcos_resnet_fpn": {}},
)
__all__ = [model.name for model in RECORDS]


class FCOSSettings(ImageSettings, total=False):
    """Numbers of FCOS, by torchvision's names: arguments of :class:`~chainfpn.links.FCOS`.

    Attributes:
        score_thresh (float): Lowest score of a detection.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class is suppressed.
        detections_per_img (int): Most detections per image.
        topk_candidates (int): Best-scored candidates of each level that enter NMS.
        center_sampling_radius (float): Strides from the centre of a ground truth within which a location is positive.
    """

    score_thresh: float
    nms_thresh: float
    detections_per_img: int
    topk_candidates: int
    center_sampling_radius: float


@dataclass(frozen=True)
class FCOSOptions(DenseOptions):
    """Options of FCOS: one anchor a location."""

    aspect_ratios: Sequence[float] = (1.0,)
    allowed: type = FCOSSettings


def _assemble(options: FCOSOptions) -> FCOS:
    from chainfpn.links.detectors.fcos import FCOS, FCOSHead
    from chainfpn.models._trunks import dense_backbone

    strides = [(2 ** (options.stages[0] + 1 + level),) for level in range(len(options.stages) + 2)]
    anchors = options.anchor_generator(strides)
    if anchors.n_anchors != 1:
        raise ValueError(f"{options.name}: there must be one anchor per position, got {anchors.n_anchors}")
    return FCOS(
        dense_backbone(options),
        FCOSHead(options.fpn_channels, options.n_class_id),
        anchors,
        **options.base(options.preprocess()),
        **options.head_settings(),
    )


def fcos_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm_eps: float | None = None,
    min_size: Sizes | None = None, max_size: int | None = None, anchor_sizes: AnchorSizes = None,
    aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None, **settings: Unpack[FCOSSettings],
) -> FCOS:  # fmt: skip
    """Build torchvision's ``fcos_resnet50_fpn``.

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, the default.

    Args:
        n_fg_class (int or None): Labels, background excluded; by default COCO's 80 on torchvision's 91 class ids.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on
            the fly, or ``'coco'`` for torchvision's.
        pretrained_backbone (str, os.PathLike or None): Weights of the trunk alone, instead: ``'imagenet'`` or
            ``'imagenet_v2'`` for torchvision's of the classifier, or the path of a classifier's .npz or checkpoint.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default.
        min_size (int, sequence of int or None): Length of an image's shorter side; 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; torchvision's by default.
        stride_in_1x1 (bool or None): The stride of a bottleneck is in its first 1x1; False by default.
        **settings: Numbers by torchvision's names, see :class:`FCOSSettings`.

    Returns:
        chainfpn.links.FCOS: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Tian et al. 2019; torchvision 0.14 ``fcos_resnet50_fpn``.
    """
    return build(FCOSOptions("fcos_resnet50_fpn"), locals(), _assemble)


def fcos_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None, *,
    pretrained_backbone: Pretrained = None, stages: Sequence[int] | None = None, fpn_channels: int | None = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm: str | Norm = None,
    norm_eps: float | None = None, min_size: Sizes | None = None, max_size: int | None = None,
    anchor_sizes: AnchorSizes = None, aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    p6_from_trunk: bool | None = None, p7_relu: bool | None = None, **settings: Unpack[FCOSSettings],
) -> FCOS:  # fmt: skip
    """Build FCOS on any ResNet, any of its stages, any width of pyramid.

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, the default.

    Args:
        depth (int, str or None): 18, 34, 50, 101 or 152, or the name of a ResNeXt or wide ResNet such as
            ``'resnext50_32x4d'``; 50 by default.
        n_fg_class (int or None): Labels, background excluded; by default COCO's 80 on torchvision's 91 class ids.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on
            the fly.
        pretrained_backbone (str, os.PathLike or None): Weights of the trunk alone, instead: ``'imagenet'`` or
            ``'imagenet_v2'`` for torchvision's of the classifier, or the path of a classifier's .npz or checkpoint.
        stages (sequence of int or None): Stages 1 to 4 of the ResNet that the pyramid stands on, ascending and
            without a gap; 2, 3, 4 by default. Those above the last are cut off.
        fpn_channels (int or None): Channels of every level; 256 by default.
        norm (str, callable or None): ``'frozen'``, ``'batch'`` or ``'group'`` normalization, or what makes a link for
            a number of channels; torchvision's choice by default.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default.
        min_size (int, sequence of int or None): Length of an image's shorter side; 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; torchvision's by default.
        stride_in_1x1 (bool or None): The stride of a bottleneck is in its first 1x1; False by default.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        p6_from_trunk (bool or None): Make the level P6 from the trunk's last map; torchvision's choice by default.
        p7_relu (bool or None): Put a ReLU between the levels P6 and P7; True by default.
        **settings: Numbers by torchvision's names, see :class:`FCOSSettings`.

    Returns:
        chainfpn.links.FCOS: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Tian et al. 2019; torchvision 0.14 ``FCOS``.
    """
    return build(FCOSOptions("fcos_resnet_fpn"), locals(), _assemble)
