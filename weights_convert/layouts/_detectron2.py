"""detectron2: its own names for a ResNet, a pyramid and heads."""

from typing import Any

from weights_convert import tensor_fixups
from weights_convert.layouts.layout import Layout
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

_PREDICTOR = ("cls_score", "bbox_pred")

_BOXES = modules({
    "roi_heads.box_head.fc1": "roi_heads.box_head.fc6",
    "roi_heads.box_head.fc2": "roi_heads.box_head.fc7",
    **{f"roi_heads.box_predictor.{name}": f"roi_heads.box_predictor.{name}" for name in _PREDICTOR},
})  # fmt: skip

_KEYPOINTS = modules({
    **{f"roi_heads.keypoint_head.conv_fcn{i + 1}": f"roi_heads.keypoint_head.{2 * i}" for i in range(16)},
    "roi_heads.keypoint_head.score_lowres": "roi_heads.keypoint_predictor.kps_score_lowres",
})  # fmt: skip

_STAGES = modules({
    "roi_heads.box_head.*.fc1": "roi_heads.*.box_head.fc6",
    "roi_heads.box_head.*.fc2": "roi_heads.*.box_head.fc7",
    **{f"roi_heads.box_predictor.*.{name}": f"roi_heads.*.box_predictor.{name}" for name in _PREDICTOR},
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
    Rule(r"pixel_(?:mean|std)$", None, "input statistics, which the rules or --meta image_mean and image_std say"),
)

_STEM = r"backbone\.bottom_up\.stem\.conv1\.weight"

#: What all its detectors have in common, those with Caffe2's names, too.
OWN_RULES: Any = {
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
    "complete": True,
    "arguments": {"stride_in_1x1": True},
    "resnext": {"stride_in_1x1": False},
    "caffe_input": True,
    "differs": ("Caffe's ResNets have the stride in the 1x1: stride_in_1x1 is set, but for ResNeXt",),
}

_BACKGROUND = (tensor_fixups.fill_folded_norms, tensor_fixups.background_first, tensor_fixups.background_box_rows)

CASCADE = Layout(
    "detectron2 cascade",
    (_STEM, r"roi_heads\.box_head\.0\.fc1\.weight"),
    _BESIDE,
    names=_BODY | _pyramid(2) | _RPN | _STAGES | _masks("roi_heads.0."),
    fixups=_BACKGROUND,
    undo=(tensor_fixups.background_last,),
    **OWN_RULES,
)

DETECTOR = Layout(
    "detectron2",
    (_STEM, r"backbone\.fpn_lateral2\.weight", r"proposal_generator\.rpn_head\.conv\.weight"),
    _BESIDE,
    names=_BODY | _pyramid(2) | _RPN | _BOXES | _masks("roi_heads.") | _KEYPOINTS,
    fixups=_BACKGROUND,
    undo=(tensor_fixups.background_last,),
    **OWN_RULES,
)

RETINANET = Layout(
    "detectron2 RetinaNet",
    (_STEM, r"head\.cls_subnet\.0\.weight"),
    _BESIDE,
    names=_BODY | _pyramid(3) | _RETINANET_HEAD,
    fixups=(tensor_fixups.fill_folded_norms,),
    **OWN_RULES,
)

TRUNK = Layout(
    "detectron2 (trunk)",
    (r"stem\.conv1\.weight", r"res2\.0\.conv1\.weight"),
    _BESIDE,
    names=_trunk("", ""),
    fixups=(tensor_fixups.fill_folded_norms,),
    **OWN_TRUNK,
)

_NO_BUILDER = "no builder here makes it; detectron2's models with a pyramid (FPN in their name) are converted"

C4 = Layout(
    "detectron2 C4",
    (r"backbone\.stem\.conv1\.weight", r"roi_heads\.res5\.0\.conv1\.weight"),
    refusal=f"is detectron2's C4, whose last stage runs on pooled regions and which has no pyramid: {_NO_BUILDER}",
)

DC5 = Layout(
    "detectron2 DC5",
    (r"backbone\.stem\.conv1\.weight", r"proposal_generator\.rpn_head\.conv\.weight"),
    refusal=f"is detectron2's DC5, whose last stage is dilated and which has no pyramid: {_NO_BUILDER}",
)
