"""detectron2: its own names for a Caffe-style ResNet, FPN and heads."""

from weights_convert import numeric
from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule


def _trunk(before, after):
    """Return the rules of the ResNet, from names under ``before`` to names under ``after``."""
    rules = [
        Rule(rf"{before}stem\.conv1\.norm\.", f"{after}bn1."),
        Rule(rf"{before}stem\.conv1\.", f"{after}conv1."),
        Rule(rf"{before}stem\.fc\.", f"{after}fc."),
    ]
    for stage in range(1, 5):
        at = rf"{before}res{stage + 1}\.(\d+)\."
        rules += [
            Rule(rf"{at}shortcut\.norm\.", rf"{after}layer{stage}.\1.downsample.1."),
            Rule(rf"{at}shortcut\.", rf"{after}layer{stage}.\1.downsample.0."),
            Rule(rf"{at}conv(\d)\.norm\.", rf"{after}layer{stage}.\1.bn\2."),
            Rule(rf"{at}conv(\d)\.", rf"{after}layer{stage}.\1.conv\2."),
        ]
    return rules


_HEADS = (
    *(Rule(rf"backbone\.fpn_lateral{i + 2}\.", f"backbone.fpn.inner_blocks.{i}.") for i in range(4)),
    *(Rule(rf"backbone\.fpn_output{i + 2}\.", f"backbone.fpn.layer_blocks.{i}.") for i in range(4)),
    Rule(r"proposal_generator\.rpn_head\.conv\.", "rpn.head.conv."),
    Rule(r"proposal_generator\.rpn_head\.objectness_logits\.", "rpn.head.cls_logits."),
    Rule(r"proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.head.bbox_pred."),
    Rule(r"proposal_generator\.anchor_generator\.cell_anchors", None, "anchors are computed, not loaded"),
    Rule(r"roi_heads\.box_head\.fc1\.", "roi_heads.box_head.fc6."),
    Rule(r"roi_heads\.box_head\.fc2\.", "roi_heads.box_head.fc7."),
    Rule(r"(roi_heads\.box_predictor\.(?:cls_score|bbox_pred)\.)", r"\1"),
    Rule(r"(roi_heads\.mask_head\.mask_fcn[1-4]\.)", r"\1"),
    Rule(r"roi_heads\.mask_head\.deconv\.", "roi_heads.mask_predictor.conv5_mask."),
    Rule(r"roi_heads\.mask_head\.predictor\.", "roi_heads.mask_predictor.mask_fcn_logits."),
    Rule(r"pixel_(?:mean|std)$", None, "input statistics; those of detectron2's Caffe-style models are folded in"),
)

_DIFFERS = (
    "detectron2 does not round anchors and aligns RoIs by half a pixel: boxes move by a fraction of a pixel",
    "detectron2's Caffe-style ResNets have the stride in the 1x1: stride_in_1x1 is set",
)

DETECTOR = Layout(
    "detectron2",
    (r"backbone\.bottom_up\.stem\.conv1\.weight", r"proposal_generator\.rpn_head\.conv\.weight"),
    (*_trunk(r"backbone\.bottom_up\.", "backbone.body."), *_HEADS),
    steps=(
        numeric.background_first,
        numeric.background_box_rows,
        numeric.flip_bgr,
        numeric.fold_caffe_scale,
    ),
    complete=True,
    arguments={"stride_in_1x1": True},
    differs=_DIFFERS,
)

TRUNK = Layout(
    "detectron2 (trunk)",
    (r"stem\.conv1\.weight", r"res2\.0\.conv1\.weight"),
    tuple(_trunk("", "")),
    steps=(numeric.flip_bgr, numeric.fold_caffe_scale),
    complete=True,
    arguments={"stride_in_1x1": True},
    differs=_DIFFERS[1:],
)
