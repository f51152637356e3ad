"""detectron2: its own names for a ResNet, a pyramid and heads."""

from typing import Any

from weights_convert import tensor_fixups
from weights_convert.layouts.layout import Layout, input_statistics
from weights_convert.rules import Rule, modules


def _trunk(before: str, after: str) -> dict[str, str]:
    """Return the names of the ResNet, under ``before`` and under ``after``."""
    names = {"stem.conv1.norm": "bn1", "stem.conv1": "conv1", "stem.fc": "fc"}
    for stage in range(1, 5):
        at, to = f"res{stage + 1}.*.", f"layer{stage}.*."
        names |= {f"{at}shortcut.norm": f"{to}downsample.1", f"{at}shortcut": f"{to}downsample.0"}
        names |= {f"{at}conv*.norm": f"{to}bn*", f"{at}conv*": f"{to}conv*"}
    return modules({f"{before}{old}": f"{after}{new}" for old, new in names.items()})


def _pyramid(finest: int) -> dict[str, str]:
    """Return the names of the pyramid, whose levels have numbers of their own here, and begin at 0 in torchvision."""
    levels = [(level, level - finest) for level in range(finest, 6)]
    names = {f"backbone.fpn_lateral{level}": f"backbone.fpn.inner_blocks.{i}" for level, i in levels}
    names |= {f"backbone.fpn_output{level}": f"backbone.fpn.layer_blocks.{i}" for level, i in levels}
    return modules(names)


_BODY = _trunk("backbone.bottom_up.", "backbone.body.")

_RPN = modules({
    "proposal_generator.rpn_head.conv": "rpn.head.conv",
    "proposal_generator.rpn_head.objectness_logits": "rpn.head.cls_logits",
    "proposal_generator.rpn_head.anchor_deltas": "rpn.head.bbox_pred",
})  # fmt: skip

_KEYPOINTS = modules({
    **{f"roi_heads.keypoint_head.conv_fcn{i + 1}": f"roi_heads.keypoint_head.{2 * i}" for i in range(16)},
    "roi_heads.keypoint_head.score_lowres": "roi_heads.keypoint_predictor.kps_score_lowres",
})  # fmt: skip


def _boxes(stage: str) -> dict[str, str]:
    """Return the names of a head of boxes; ``stage`` is a number and a dot of a cascade."""
    return modules({
        f"roi_heads.box_head.{stage}fc1": f"roi_heads.{stage}box_head.fc6",
        f"roi_heads.box_head.{stage}fc2": f"roi_heads.{stage}box_head.fc7",
        f"roi_heads.box_predictor.{stage}cls_score": f"roi_heads.{stage}box_predictor.cls_score",
        f"roi_heads.box_predictor.{stage}bbox_pred": f"roi_heads.{stage}box_predictor.bbox_pred",
    })  # fmt: skip


def _masks(to: str) -> dict[str, str]:
    return modules({
        "roi_heads.mask_head.mask_fcn*": f"{to}mask_head.mask_fcn*",
        "roi_heads.mask_head.deconv": f"{to}mask_predictor.conv5_mask",
        "roi_heads.mask_head.predictor": f"{to}mask_predictor.mask_fcn_logits",
    })  # fmt: skip


_RETINANET_HEAD = modules({
    "backbone.top_block.p6": "backbone.fpn.extra_blocks.p6",
    "backbone.top_block.p7": "backbone.fpn.extra_blocks.p7",
    "head.cls_subnet.*": "head.classification_head.conv.*",
    "head.bbox_subnet.*": "head.regression_head.conv.*",
    "head.cls_score": "head.classification_head.cls_logits",
    "head.bbox_pred": "head.regression_head.bbox_reg",
})  # fmt: skip

_BESIDE = (
    Rule(r"(?:.*\.)?anchor_generator\.cell_anchors", None, "anchors are computed, not loaded"),
    input_statistics(r"pixel_(?:mean|std)$"),
)

_STEM = r"backbone\.bottom_up\.stem\.conv1\.weight"

#: What all its detectors have in common, those with Caffe2's names, too.
OWN_RULES: Any = {
    "fixups": (tensor_fixups.fill_folded_norms,),
    "complete": True,
    "arguments": {"rules": "detectron2"},
    "resnext": {"image_std": [57.375, 57.12, 58.395]},
    "labels_from_zero": True,
    "any_trunk": True,
    "caffe_input": True,
    "differs": ("input, anchors, pooling, thresholds and masks are detectron2's: rules is set",),
}

#: The same of its trunks, which go into detectors with torchvision's input.
OWN_TRUNK: Any = {
    "fixups": (tensor_fixups.fill_folded_norms,),
    "complete": True,
    "arguments": {"stride_in_1x1": True},
    "resnext": {"stride_in_1x1": False},
    "caffe_input": True,
    "differs": ("Caffe's ResNets have the stride in the 1x1: stride_in_1x1 is set, but for ResNeXt",),
}

_TWO_STAGE: Any = {
    **OWN_RULES,
    "fixups": (*OWN_RULES["fixups"], tensor_fixups.background_first, tensor_fixups.background_box_rows),
    "undo": (tensor_fixups.background_last,),
}

_NO_BUILDER = "no builder here makes it; detectron2's models with a pyramid (FPN in their name) are converted"

LAYOUTS = (
    Layout(
        "detectron2 cascade",
        (_STEM, r"roi_heads\.box_head\.0\.fc1\.weight"),
        _BESIDE,
        names=_BODY | _pyramid(2) | _RPN | _boxes("*.") | _masks("roi_heads.0."),
        **_TWO_STAGE,
    ),
    Layout(
        "detectron2",
        (_STEM, r"backbone\.fpn_lateral2\.weight", r"proposal_generator\.rpn_head\.conv\.weight"),
        _BESIDE,
        names=_BODY | _pyramid(2) | _RPN | _boxes("") | _masks("roi_heads.") | _KEYPOINTS,
        **_TWO_STAGE,
    ),
    Layout(
        "detectron2 RetinaNet",
        (_STEM, r"head\.cls_subnet\.0\.weight"),
        _BESIDE,
        names=_BODY | _pyramid(3) | _RETINANET_HEAD,
        **OWN_RULES,
    ),
    Layout(
        "detectron2 C4",
        (r"backbone\.stem\.conv1\.weight", r"roi_heads\.res5\.0\.conv1\.weight"),
        refusal=f"is detectron2's C4, whose last stage runs on pooled regions and which has no pyramid: {_NO_BUILDER}",
    ),
    Layout(
        "detectron2 DC5",
        (r"backbone\.stem\.conv1\.weight", r"proposal_generator\.rpn_head\.conv\.weight"),
        refusal=f"is detectron2's DC5, whose last stage is dilated and which has no pyramid: {_NO_BUILDER}",
    ),
    Layout(
        "detectron2 (trunk)",
        (r"stem\.conv1\.weight", r"res2\.0\.conv1\.weight"),
        _BESIDE,
        names=_trunk("", ""),
        **OWN_TRUNK,
    ),
)
