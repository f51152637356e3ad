"""Mask R-CNN on a feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from chainfpn.models._build import build
from chainfpn.models._record import COCO_V1, MASKS, coco, detectors
from chainfpn.models.faster_rcnn import AnyFasterRCNNArguments, FasterRCNNArguments, RCNNOptions, assemble_rcnn

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import MaskRCNN
    from chainfpn.models._types import Norm, Pretrained


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


class AnyMaskRCNNArguments(AnyFasterRCNNArguments, total=False):
    """Options of Mask R-CNN on any trunk, see :class:`MaskOptions`."""

    mask_layers: Sequence[int]
    mask_dim_reduced: int


@dataclass(frozen=True)
class MaskOptions(RCNNOptions):
    """Options of Mask R-CNN, and torchvision's values.

    Attributes:
        mask_layers (sequence of int): Channels of each convolution of the mask head.
        mask_dim_reduced (int): Channels of the deconvolution behind them.
    """

    mask_layers: Sequence[int] = (256, 256, 256, 256)
    mask_dim_reduced: int = 256


#: Every option's default, by builder.
DEFAULTS = {name: MaskOptions(name) for name in __all__}


def mask_branch(options: MaskOptions, norm: Norm | None) -> dict[str, Any]:
    """Make the head and the predictor of masks.

    Args:
        options (MaskOptions): The builder's options.
        norm (callable or None): Makes the normalization behind each convolution, if there is one.

    Returns:
        dict: Keyword arguments of :class:`~chainfpn.links.RoIHeads`.
    """
    from chainfpn.links import MaskHead, MaskRCNNPredictor

    return {
        "mask_head": MaskHead(options.fpn_channels, options.mask_layers, norm=norm),
        "mask_predictor": MaskRCNNPredictor(options.mask_layers[-1], options.n_class_id, options.mask_dim_reduced),
    }


def _assemble(options: MaskOptions, *, v2: bool = False) -> MaskRCNN:
    from chainfpn.links import MaskRCNN

    detector = assemble_rcnn(options, v2=v2, link=MaskRCNN, branch=partial(mask_branch, options))
    detector.paste = options.rule_set.paste
    return detector


def maskrcnn_resnet50_fpn(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> MaskRCNN:
    """Build torchvision's ``maskrcnn_resnet50_fpn``.

    Options: :class:`FasterRCNNArguments`. Source: He et al. 2017; torchvision 0.14.
    """
    return build("maskrcnn_resnet50_fpn", locals(), _assemble)


def maskrcnn_resnet50_fpn_v2(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[FasterRCNNArguments]
) -> MaskRCNN:
    """Build torchvision's ``maskrcnn_resnet50_fpn_v2``: unfrozen batch normalization everywhere, and deeper heads.

    Options: :class:`FasterRCNNArguments`. Source: Li et al. 2021; torchvision 0.14.
    """
    return build("maskrcnn_resnet50_fpn_v2", locals(), partial(_assemble, v2=True))


def maskrcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyMaskRCNNArguments],
) -> MaskRCNN:  # fmt: skip
    """Build Mask R-CNN on any trunk, any of its stages, any width of pyramid and head.

    Options: :class:`AnyMaskRCNNArguments`. Source: He et al. 2017; torchvision 0.14.
    """
    return build("maskrcnn_resnet_fpn", locals(), _assemble)


def maskrcnn_resnet_fpn_v2(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[AnyMaskRCNNArguments],
) -> MaskRCNN:  # fmt: skip
    """Build Mask R-CNN on any trunk, with batch normalization, not frozen, everywhere and deeper heads.

    Options: :class:`AnyMaskRCNNArguments`. Source: He et al. 2017; torchvision 0.14.
    """
    return build("maskrcnn_resnet_fpn_v2", locals(), partial(_assemble, v2=True))
