"""Caffe2's names, as Detectron has them and detectron2 reads them: blobs with the background first, folded norms."""

from weights_convert.layouts import _detectron2
from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule, leaf_rules

#: The last part of a blob's name -> torch's.
_PARAMS = {"_w": ".weight", "_b": ".bias"}
_NORM_PARAMS = {"_s": ".weight", "_b": ".bias", "_rm": ".running_mean", "_riv": ".running_var"}


def _trunk(before: str) -> list[Rule]:
    rules = [Rule("conv1_b$", None, "detectron2 has no such bias, and does not read it")]
    rules += leaf_rules({"res_conv1_bn": f"{before}bn1"}, _NORM_PARAMS)
    rules += leaf_rules({"conv1": f"{before}conv1", "(?:fc1000|pred)": f"{before}fc"}, _PARAMS)
    for stage in range(1, 5):
        to = rf"{before}layer{stage}.\1."
        branches = {"1": ("downsample.0", "downsample.1")}
        branches |= {f"2{letter}": (f"conv{i}", f"bn{i}") for i, letter in enumerate("abc", 1)}
        for branch, (conv, norm) in branches.items():
            at = rf"res{stage + 1}_(\d+)_branch{branch}"
            rules += leaf_rules({f"{at}_bn": to + norm}, _NORM_PARAMS) + leaf_rules({at: to + conv}, _PARAMS)
    return rules


_HEADS = {
    **{rf"fpn_inner_res{i + 2}_\d+_sum(?:_lateral)?": f"backbone.fpn.inner_blocks.{i}" for i in range(4)},
    **{rf"fpn_res{i + 2}_\d+_sum": f"backbone.fpn.layer_blocks.{i}" for i in range(4)},
    "conv_rpn_fpn2": "rpn.head.conv",
    "rpn_cls_logits_fpn2": "rpn.head.cls_logits",
    "rpn_bbox_pred_fpn2": "rpn.head.bbox_pred",
    "fc6": "roi_heads.box_head.fc6",
    "fc7": "roi_heads.box_head.fc7",
    "cls_score": "roi_heads.box_predictor.cls_score",
    "bbox_pred": "roi_heads.box_predictor.bbox_pred",
    r"_\[mask\]_fcn(\d)": r"roi_heads.mask_head.mask_fcn\1",
    "conv5_mask": "roi_heads.mask_predictor.conv5_mask",
    "mask_fcn_logits": "roi_heads.mask_predictor.mask_fcn_logits",
    **{f"conv_fcn{i + 1}": f"roi_heads.keypoint_head.{2 * i}" for i in range(8)},
    "kps_score_lowres": "roi_heads.keypoint_predictor.kps_score_lowres",
}

_MOMENTUM = Rule(r".*_momentum$", None, "momentum of Caffe2's training")

LAYOUTS = (
    Layout(
        "Caffe2 (Detectron)",
        ("conv1_w", "res2_0_branch2a_w", "conv_rpn_fpn2_w"),
        (_MOMENTUM, *_trunk("backbone.body."), *leaf_rules(_HEADS, _PARAMS)),
        **_detectron2.OWN_RULES,
    ),
    Layout(
        "Caffe2 (trunk)",
        ("conv1_w", "res2_0_branch2a_w"),
        (_MOMENTUM, *_trunk("")),
        **_detectron2.OWN_TRUNK,
    ),
)
