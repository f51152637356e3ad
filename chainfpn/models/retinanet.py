"""RetinaNet on a ResNet with a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chainfpn.models._detector import DenseOptions, ImageSettings, build
from chainfpn.models._record import COCO_V1, coco, detectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from chainfpn.links.detectors.retinanet import RetinaNet
    from chainfpn.models._types import AnchorSizes, LabelNames, Norm, Pretrained, Sizes

RECORDS = detectors(
    "retinanet",
    __name__,
    {
        "retinanet_resnet50_fpn": {COCO_V1: coco("retinanet_resnet50_fpn_coco-eeacb38b", box=36.4, eps=0.0)},
        "retinanet_resnet50_fpn_v2": {COCO_V1: coco("retinanet_resnet50_fpn_v2_coco-5905b1c5", box=41.5)},
        "retinanet_resnet_fpn": {},
        "retinanet_resnet_fpn_v2": {},
    },
)
__all__ = [model.name for model in RECORDS]


class RetinaNetSettings(ImageSettings, total=False):
    """Numbers of RetinaNet, by torchvision's names: arguments of :class:`~chainfpn.links.RetinaNet`.

    Attributes:
        score_thresh (float): Lowest score of a detection.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class is suppressed.
        detections_per_img (int): Most detections per image.
        topk_candidates (int): Best-scored candidates of each level that enter NMS.
        fg_iou_thresh (float): Smallest IoU of a foreground anchor with a ground truth.
        bg_iou_thresh (float): IoU below which an anchor is background.
    """

    score_thresh: float
    nms_thresh: float
    detections_per_img: int
    topk_candidates: int
    fg_iou_thresh: float
    bg_iou_thresh: float


def _assemble(options: DenseOptions, *, v2: bool = False) -> RetinaNet:
    from chainfpn.links.detectors.retinanet import RetinaNet, RetinaNetHead
    from chainfpn.links.group_normalization import GroupNormalization
    from chainfpn.models._trunks import dense_backbone

    n_levels = len(options.stages) + 2
    sizes = [[int(32 * 2**level * 2 ** (third / 3)) for third in range(3)] for level in range(n_levels)]
    anchors = options.anchor_generator(sizes)
    version: Mapping[str, Any] = {"norm": GroupNormalization, "box_loss": "giou"} if v2 else {}
    return RetinaNet(
        dense_backbone(options, frozen=not v2),
        RetinaNetHead(options.fpn_channels, anchors.n_anchors, options.n_class_id, **version),
        anchors,
        **options.base(options.preprocess()),
        **options.head_settings(),
    )


def _assemble_v2(options: DenseOptions) -> RetinaNet:
    return _assemble(options, v2=True)


def retinanet_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm_eps: float | None = None,
    min_size: Sizes | None = None, max_size: int | None = None, anchor_sizes: AnchorSizes = None,
    aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    **settings: Unpack[RetinaNetSettings],
) -> RetinaNet:  # fmt: skip
    """Build torchvision's ``retinanet_resnet50_fpn``.

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
        **settings: Numbers by torchvision's names, see :class:`RetinaNetSettings`.

    Returns:
        chainfpn.links.RetinaNet: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Lin et al. 2017 (RetinaNet); torchvision 0.14 ``retinanet_resnet50_fpn``.
    """
    return build(DenseOptions("retinanet_resnet50_fpn", allowed=RetinaNetSettings), locals(), _assemble)


def retinanet_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm_eps: float | None = None,
    min_size: Sizes | None = None, max_size: int | None = None, anchor_sizes: AnchorSizes = None,
    aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    **settings: Unpack[RetinaNetSettings],
) -> RetinaNet:  # fmt: skip
    """Build torchvision's ``retinanet_resnet50_fpn_v2``: group normalization in its heads, GIoU loss.

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
        **settings: Numbers by torchvision's names, see :class:`RetinaNetSettings`.

    Returns:
        chainfpn.links.RetinaNet: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Zhang et al. 2019; torchvision 0.14 ``retinanet_resnet50_fpn_v2``.
    """
    return build(
        DenseOptions("retinanet_resnet50_fpn_v2", allowed=RetinaNetSettings, p6_from_trunk=True), locals(), _assemble_v2
    )


def retinanet_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None, *,
    pretrained_backbone: Pretrained = None, stages: Sequence[int] | None = None, fpn_channels: int | None = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm: str | Norm = None,
    norm_eps: float | None = None, min_size: Sizes | None = None, max_size: int | None = None,
    anchor_sizes: AnchorSizes = None, aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    p6_from_trunk: bool | None = None, p7_relu: bool | None = None, **settings: Unpack[RetinaNetSettings],
) -> RetinaNet:  # fmt: skip
    """Build RetinaNet on any ResNet, any of its stages, any width of pyramid.

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
        **settings: Numbers by torchvision's names, see :class:`RetinaNetSettings`.

    Returns:
        chainfpn.links.RetinaNet: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Lin et al. 2017 (RetinaNet); torchvision 0.14 ``RetinaNet``.
    """
    return build(DenseOptions("retinanet_resnet_fpn", allowed=RetinaNetSettings), locals(), _assemble)


def retinanet_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None, *,
    pretrained_backbone: Pretrained = None, stages: Sequence[int] | None = None, fpn_channels: int | None = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm: str | Norm = None,
    norm_eps: float | None = None, min_size: Sizes | None = None, max_size: int | None = None,
    anchor_sizes: AnchorSizes = None, aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    p6_from_trunk: bool | None = None, p7_relu: bool | None = None, **settings: Unpack[RetinaNetSettings],
) -> RetinaNet:  # fmt: skip
    """Build RetinaNet on any ResNet: group normalization in its heads, boxes trained by GIoU.

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
        **settings: Numbers by torchvision's names, see :class:`RetinaNetSettings`.

    Returns:
        chainfpn.links.RetinaNet: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Lin et al. 2017 (RetinaNet); torchvision 0.14 ``RetinaNet``.
    """
    return build(
        DenseOptions("retinanet_resnet_fpn_v2", allowed=RetinaNetSettings, p6_from_trunk=True), locals(), _assemble_v2
    )
