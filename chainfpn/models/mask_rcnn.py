"""Mask R-CNN on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chainfpn.models._detector import build
from chainfpn.models._record import COCO_V1, MASKS, coco, detectors
from chainfpn.models.faster_rcnn import RCNNOptions, assemble_rcnn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links.detectors.mask_rcnn import MaskRCNN
    from chainfpn.models._types import AnchorSizes, LabelNames, Norm, Pretrained, Sizes
    from chainfpn.models.faster_rcnn import FasterRCNNSettings

RECORDS = detectors(
    "mask_rcnn",
    __name__,
    {
        "maskrcnn_resnet50_fpn": {COCO_V1: coco("maskrcnn_resnet50_fpn_coco-bf2d0c1e", box=37.9, mask=34.6, eps=0.0)},
        "maskrcnn_resnet50_fpn_v2": {COCO_V1: coco("maskrcnn_resnet50_fpn_v2_coco-73cbd019", box=47.4, mask=41.8)},
        "maskrcnn_resnet_fpn": {},
        "maskrcnn_resnet_fpn_v2": {},
    },
    MASKS,
)
__all__ = [model.name for model in RECORDS]


def _assemble(options: RCNNOptions, *, v2: bool = False) -> MaskRCNN:
    from chainfpn.links.detectors.mask_head import MaskHead, MaskRCNNPredictor
    from chainfpn.links.detectors.mask_rcnn import MaskRCNN
    from chainfpn.models._rules import find_rules

    def branch(norm: Norm) -> dict[str, Any]:
        return {
            "mask_head": MaskHead(options.fpn_channels, norm=norm),
            "mask_predictor": MaskRCNNPredictor(256, options.n_class_id),
        }

    detector = assemble_rcnn(options, v2=v2, link=MaskRCNN, branch=branch)
    detector.paste = find_rules(options.name, options.rules).paste
    return detector


def _assemble_v2(options: RCNNOptions) -> MaskRCNN:
    return _assemble(options, v2=True)


def maskrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm_eps: float | None = None,
    min_size: Sizes | None = None, max_size: int | None = None, anchor_sizes: AnchorSizes = None,
    aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    **settings: Unpack[FasterRCNNSettings],
) -> MaskRCNN:  # fmt: skip
    """Build torchvision's ``maskrcnn_resnet50_fpn``.

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
        **settings: Numbers by torchvision's names, see :class:`FasterRCNNSettings`.

    Returns:
        chainfpn.links.MaskRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        He et al. 2017; torchvision 0.14 ``maskrcnn_resnet50_fpn``.
    """
    return build(RCNNOptions("maskrcnn_resnet50_fpn"), locals(), _assemble)


def maskrcnn_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, *, pretrained_backbone: Pretrained = None,
    class_ids: Sequence[int] | None = None, label_names: LabelNames = None, norm_eps: float | None = None,
    min_size: Sizes | None = None, max_size: int | None = None, anchor_sizes: AnchorSizes = None,
    aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    **settings: Unpack[FasterRCNNSettings],
) -> MaskRCNN:  # fmt: skip
    """Build torchvision's ``maskrcnn_resnet50_fpn_v2``: unfrozen batch normalization everywhere, and deeper heads.

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
        **settings: Numbers by torchvision's names, see :class:`FasterRCNNSettings`.

    Returns:
        chainfpn.links.MaskRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Li et al. 2021; torchvision 0.14 ``maskrcnn_resnet50_fpn_v2``.
    """
    return build(RCNNOptions("maskrcnn_resnet50_fpn_v2"), locals(), _assemble_v2)


def maskrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None, *,
    pretrained_backbone: Pretrained = None, stages: Sequence[int] | None = None, fpn_channels: int | None = None,
    head_channels: int | None = None, class_ids: Sequence[int] | None = None, label_names: LabelNames = None,
    norm: str | Norm = None, norm_eps: float | None = None, min_size: Sizes | None = None, max_size: int | None = None,
    anchor_sizes: AnchorSizes = None, aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    rules: str | None = None, **settings: Unpack[FasterRCNNSettings],
) -> MaskRCNN:  # fmt: skip
    """Build Mask R-CNN on any ResNet, any of its stages, any width of pyramid and head.

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
            without a gap; 1, 2, 3, 4 by default. Those above the last are cut off.
        fpn_channels (int or None): Channels of every level; 256 by default.
        norm (str, callable or None): ``'frozen'``, ``'batch'`` or ``'group'`` normalization, or what makes a link for
            a number of channels; torchvision's choice by default.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default.
        min_size (int, sequence of int or None): Length of an image's shorter side; 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; torchvision's by default.
        stride_in_1x1 (bool or None): The stride of a bottleneck is in its first 1x1; False by default.
        head_channels (int or None): Width of the fully connected layers of the head; 1024 by default.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        rules (str or None): Whose input, anchors, thresholds and masks go with the weights: ``'torchvision'``, the
            default, or ``'chainercv'``.
        **settings: Numbers by torchvision's names, see :class:`FasterRCNNSettings`.

    Returns:
        chainfpn.links.MaskRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        He et al. 2017; torchvision 0.14 ``resnet_fpn_backbone``, ``MaskRCNN``.
    """
    return build(RCNNOptions("maskrcnn_resnet_fpn"), locals(), _assemble)


def maskrcnn_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None, *,
    pretrained_backbone: Pretrained = None, stages: Sequence[int] | None = None, fpn_channels: int | None = None,
    head_channels: int | None = None, class_ids: Sequence[int] | None = None, label_names: LabelNames = None,
    norm: str | Norm = None, norm_eps: float | None = None, min_size: Sizes | None = None, max_size: int | None = None,
    anchor_sizes: AnchorSizes = None, aspect_ratios: Sequence[float] | None = None, stride_in_1x1: bool | None = None,
    rules: str | None = None, **settings: Unpack[FasterRCNNSettings],
) -> MaskRCNN:  # fmt: skip
    """Build Mask R-CNN on any ResNet, with batch normalization, not frozen, everywhere and deeper heads.

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
            without a gap; 1, 2, 3, 4 by default. Those above the last are cut off.
        fpn_channels (int or None): Channels of every level; 256 by default.
        norm (str, callable or None): ``'frozen'``, ``'batch'`` or ``'group'`` normalization, or what makes a link for
            a number of channels; torchvision's choice by default.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default.
        min_size (int, sequence of int or None): Length of an image's shorter side; 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; torchvision's by default.
        stride_in_1x1 (bool or None): The stride of a bottleneck is in its first 1x1; False by default.
        head_channels (int or None): Width of the fully connected layers of the head; 1024 by default.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        rules (str or None): Whose input, anchors, thresholds and masks go with the weights: ``'torchvision'``, the
            default, or ``'chainercv'``.
        **settings: Numbers by torchvision's names, see :class:`FasterRCNNSettings`.

    Returns:
        chainfpn.links.MaskRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        TypeError: if there is no option of a name.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        He et al. 2017; torchvision 0.14 ``resnet_fpn_backbone``, ``MaskRCNN``.
    """
    return build(RCNNOptions("maskrcnn_resnet_fpn_v2"), locals(), _assemble_v2)
