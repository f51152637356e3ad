"""Cascade R-CNN and Cascade Mask R-CNN on a ResNet with a feature pyramid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chainfpn.errors import InvalidArgument
from chainfpn.models._build import build
from chainfpn.models._options import AnyResNetArguments
from chainfpn.models._record import MASKS, detectors
from chainfpn.models.faster_rcnn import RCNNSettings, assemble_rcnn
from chainfpn.models.mask_rcnn import MaskOptions, mask_branch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import CascadeRoIHeads, FasterRCNN, MaskRCNN, RoIHeads
    from chainfpn.models._types import Pretrained


RECORDS = (
    *detectors("cascade_rcnn", __name__, {"cascade_rcnn_resnet_fpn": {}}),
    *detectors("cascade_rcnn", __name__, {"cascade_mask_rcnn_resnet_fpn": {}}, MASKS),
)
__all__ = [model.name for model in RECORDS]


class CascadeRCNNArguments(AnyResNetArguments, RCNNSettings, total=False):
    """Options of Cascade R-CNN, see :class:`CascadeOptions`."""

    head_channels: int
    cascade_iou_thresh: Sequence[float]
    cascade_bbox_reg_weights: Sequence[Sequence[float]]
    stage_loss_weights: Sequence[float]
    average_logits: bool


class CascadeMaskRCNNArguments(CascadeRCNNArguments, total=False):
    """Options of Cascade Mask R-CNN, see :class:`CascadeOptions`."""

    mask_layers: Sequence[int]
    mask_dim_reduced: int
    n_mask_heads: int


#: Weights of dx, dy, dw, dh of each stage in the paper and in detectron2.
BBOX_REG_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


@dataclass(frozen=True)
class CascadeOptions(MaskOptions):
    """Options of Cascade R-CNN, and the paper's values.

    Attributes:
        cascade_iou_thresh (sequence of float): Of each stage, the smallest IoU of a foreground proposal with a ground
            truth; all others are background.
        cascade_bbox_reg_weights (sequence of sequences of float or None): Of each stage, the weights of dx, dy, dw, dh;
            None is what the rules say.
        stage_loss_weights (sequence of float): Of each stage, the factor of its losses.
        average_logits (bool or None): Average the logits of the stages, not the probabilities; None is what the rules
            say.
        n_mask_heads (int): How many stages have a mask head, the first of all: one in detectron2, all in mmdetection.
    """

    cascade_iou_thresh: Sequence[float] = (0.5, 0.6, 0.7)
    cascade_bbox_reg_weights: Sequence[Sequence[float]] | None = None
    stage_loss_weights: Sequence[float] = (1.0, 0.5, 0.25)
    average_logits: bool | None = None
    n_mask_heads: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        n_stages = len(self.cascade_iou_thresh)
        for name in ("cascade_bbox_reg_weights", "stage_loss_weights"):
            value = getattr(self, name)
            value = BBOX_REG_WEIGHTS if value is None else value
            if len(value) != n_stages:
                rule = f"have {n_stages} entries, one per stage as cascade_iou_thresh"
                raise InvalidArgument(self.name, name, rule, value, got=str(len(value)))
        if self.n_mask_heads > n_stages:
            raise InvalidArgument(self.name, "n_mask_heads", f"at most {n_stages}, one per stage", self.n_mask_heads)


#: Every option's default, by builder.
DEFAULTS = {
    "cascade_rcnn_resnet_fpn": CascadeOptions("cascade_rcnn_resnet_fpn"),
    "cascade_mask_rcnn_resnet_fpn": CascadeOptions("cascade_mask_rcnn_resnet_fpn", n_mask_heads=1),
}


def _assemble(options: CascadeOptions) -> Any:
    from chainfpn.links import CascadeRoIHeads, MaskRCNN

    rules = options.rule_set
    options = replace(options, settings={**rules.cascade_settings, **options.settings})

    def heads(make: Callable[..., RoIHeads]) -> CascadeRoIHeads:
        bbox_reg_weights = options.by_rules("cascade_bbox_reg_weights", rules)
        stages = zip(options.cascade_iou_thresh, bbox_reg_weights, strict=True)
        return CascadeRoIHeads(
            *(
                make(
                    class_agnostic=True, fg_iou_thresh=iou, bg_iou_thresh=iou, bbox_reg_weights=weights,
                    **(mask_branch(options, None) if i < options.n_mask_heads else {}),
                )
                for i, (iou, weights) in enumerate(stages)
            ),
            average_logits=options.by_rules("average_logits", rules),
            stage_loss_weights=options.stage_loss_weights,
        )  # fmt: skip

    if not options.n_mask_heads:
        return assemble_rcnn(options, heads=heads)
    detector = assemble_rcnn(options, link=MaskRCNN, heads=heads)
    detector.paste = rules.paste
    return detector


def cascade_rcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[CascadeRCNNArguments],
) -> FasterRCNN:  # fmt: skip
    """Build Cascade R-CNN on any trunk, any of its stages, any width of pyramid and head.

    Options: :class:`CascadeRCNNArguments`. Source: Cai and Vasconcelos 2018; detectron2 0.6.
    """
    return build("cascade_rcnn_resnet_fpn", locals(), _assemble)


def cascade_mask_rcnn_resnet_fpn(
    depth: int | str | None = None, n_fg_class: int | None = None, pretrained_model: Pretrained = None,
    **options: Unpack[CascadeMaskRCNNArguments],
) -> MaskRCNN:  # fmt: skip
    """Build Cascade Mask R-CNN on any trunk, any of its stages, any width of pyramid and head.

    Options: :class:`CascadeMaskRCNNArguments`. Source: Cai and Vasconcelos 2018; detectron2 0.6.
    """
    return build("cascade_mask_rcnn_resnet_fpn", locals(), _assemble)
