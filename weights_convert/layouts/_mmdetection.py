"""mmdetection 1.x, 2.x and 3.x: torchvision's ResNet, its own names for the rest.

Whether a model is of 'pytorch' or 'caffe' style no name says: its configuration does, or ``--meta input=caffe``.
"""

from typing import Any

from weights_convert import tensor_fixups
from weights_convert.layouts.layout import Layout, input_statistics
from weights_convert.rules import modules

_BODY = {
    f"backbone.{name}": f"backbone.body.{name}" for name in ("conv1.", "bn1.", *(f"layer{i}." for i in range(1, 5)))
}
_LATERAL = modules({"neck.lateral_convs.*.conv": "backbone.fpn.inner_blocks.*"})
_PYRAMID = _BODY | _LATERAL | modules({"neck.fpn_convs.*.conv": "backbone.fpn.layer_blocks.*"})

#: Of one stage: three levels of the trunk, and two beyond.
_LONG_PYRAMID = _BODY | _LATERAL | modules({
    **{f"neck.fpn_convs.{i}.conv": f"backbone.fpn.layer_blocks.{i}" for i in range(3)},
    "neck.fpn_convs.3.conv": "backbone.fpn.extra_blocks.p6",
    "neck.fpn_convs.4.conv": "backbone.fpn.extra_blocks.p7",
})  # fmt: skip

_RPN = modules({
    "rpn_head.rpn_conv": "rpn.head.conv",
    "rpn_head.rpn_cls": "rpn.head.cls_logits",
    "rpn_head.rpn_reg": "rpn.head.bbox_pred",
})  # fmt: skip


def _heads(around: str, stage: str) -> dict[str, str]:
    """Return the names of the heads of two stages; ``stage`` is a number between dots of a cascade."""
    return modules({
        f"{around}bbox_head.{stage}shared_fcs.0": f"roi_heads.{stage}box_head.fc6",
        f"{around}bbox_head.{stage}shared_fcs.1": f"roi_heads.{stage}box_head.fc7",
        f"{around}bbox_head.{stage}fc_cls": f"roi_heads.{stage}box_predictor.cls_score",
        f"{around}bbox_head.{stage}fc_reg": f"roi_heads.{stage}box_predictor.bbox_pred",
        **{f"{around}mask_head.{stage}convs.{i}.conv": f"roi_heads.{stage}mask_head.mask_fcn{i + 1}" for i in range(8)},
        f"{around}mask_head.{stage}upsample": f"roi_heads.{stage}mask_predictor.conv5_mask",
        f"{around}mask_head.{stage}conv_logits": f"roi_heads.{stage}mask_predictor.mask_fcn_logits",
    })  # fmt: skip


_RETINANET_HEAD = modules({
    **{f"bbox_head.cls_convs.{i}.conv": f"head.classification_head.conv.{2 * i}" for i in range(4)},
    **{f"bbox_head.reg_convs.{i}.conv": f"head.regression_head.conv.{2 * i}" for i in range(4)},
    "bbox_head.retina_cls": "head.classification_head.cls_logits",
    "bbox_head.retina_reg": "head.regression_head.bbox_reg",
})  # fmt: skip

_FCOS_HEAD = modules({
    **{
        f"bbox_head.{ours}_convs.{i}.{layer}": f"head.{theirs}_head.conv.{3 * i + j}"
        for ours, theirs in (("cls", "classification"), ("reg", "regression"))
        for i in range(4)
        for j, layer in enumerate(("conv", "gn"))
    },
    "bbox_head.conv_cls": "head.classification_head.cls_logits",
    "bbox_head.conv_centerness": "head.classification_head.bbox_ctrness",
    "bbox_head.conv_reg": "head.regression_head.bbox_reg",
    "bbox_head.scales": "head.regression_head.scales",
})  # fmt: skip

_BESIDE = (input_statistics(r"data_preprocessor\."),)

_DETECTOR: Any = {
    "table": _BESIDE,
    "complete": True,
    "labels_from_zero": True,
    "any_trunk": True,
    "differs": ("input, anchors, pooling, thresholds and masks are mmdetection's: rules is set",),
}
_TWO_STAGE: Any = {
    "fixups": (tensor_fixups.background_first, tensor_fixups.background_box_rows),
    "undo": (tensor_fixups.background_last,),
    **_DETECTOR,
}

_CASCADE_WEIGHTS = [[10, 10, 5, 5], [20, 20, 10, 10], [1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067]]

_NECK = r"neck\.lateral_convs\.0\.conv\.weight"
_RPN_CONV = r"rpn_head\.rpn_conv\.weight"
_LAST = r"neck\.fpn_convs\.4\.conv\.weight"

LAYOUTS = (
    Layout(
        "mmdetection",
        (_NECK, _RPN_CONV, r"roi_head\.bbox_head\.fc_(?:cls|reg)\.bias"),
        names=_PYRAMID | _RPN | _heads("roi_head.", ""),
        arguments={"rules": "mmdetection"},
        **_TWO_STAGE,
    ),
    Layout(
        "mmdetection cascade",
        (_NECK, _RPN_CONV, r"roi_head\.bbox_head\.0\.fc_(?:cls|reg)\.bias"),
        names=_PYRAMID | _RPN | _heads("roi_head.", "*."),
        arguments={
            "rules": "mmdetection",
            "average_logits": True,
            "cascade_bbox_reg_weights": _CASCADE_WEIGHTS,
        },
        **_TWO_STAGE,
    ),
    Layout(
        "mmdetection RetinaNet",
        (_LAST, r"bbox_head\.retina_cls\.weight"),
        names=_LONG_PYRAMID | _RETINANET_HEAD,
        arguments={"rules": "mmdetection", "p7_relu": False},
        **_DETECTOR,
    ),
    Layout(
        "mmdetection FCOS",
        (_LAST, r"bbox_head\.conv_centerness\.weight", r"bbox_head\.cls_convs\.0\.gn\.weight"),
        names=_LONG_PYRAMID | _FCOS_HEAD,
        arguments={"rules": "mmdetection"},
        **_DETECTOR,
    ),
    # Of two stages, whose names were shorter then; its rules are nearer to torchvision's than to those of today.
    Layout(
        "mmdetection 1.x",
        (_NECK, _RPN_CONV, r"bbox_head\.fc_(?:cls|reg)\.bias"),
        _BESIDE,
        names=_PYRAMID | _RPN | _heads("", ""),
        fixups=(tensor_fixups.background_first_unless_it_is,),
        complete=True,
        labels_from_zero=True,
        differs=(
            "mmdetection 1.x counts the last pixel into a box's sides: boxes move a little",
            "taken as 'pytorch' style (RGB, mean and std); a 'caffe' style model needs --meta input=caffe",
        ),
    ),
)
