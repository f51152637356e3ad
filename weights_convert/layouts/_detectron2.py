"""detectron2: its own names for a Caffe-style ResNet, FPN and heads."""

from weights_convert import tensor_fixups
from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule, prefixes


def _trunk(before: str, after: str) -> list[Rule]:
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
    *prefixes({
        **{f"backbone.fpn_lateral{i + 2}": f"backbone.fpn.inner_blocks.{i}" for i in range(4)},
        **{f"backbone.fpn_output{i + 2}": f"backbone.fpn.layer_blocks.{i}" for i in range(4)},
        "proposal_generator.rpn_head.conv": "rpn.head.conv",
        "proposal_generator.rpn_head.objectness_logits": "rpn.head.cls_logits",
        "proposal_generator.rpn_head.anchor_deltas": "rpn.head.bbox_pred",
        "roi_heads.box_head.fc1": "roi_heads.box_head.fc6",
        "roi_heads.box_head.fc2": "roi_heads.box_head.fc7",
        "roi_heads.mask_head.deconv": "roi_heads.mask_predictor.conv5_mask",
        "roi_heads.mask_head.predictor": "roi_heads.mask_predictor.mask_fcn_logits",
    }),
    Rule(r"(roi_heads\.(?:box_predictor\.(?:cls_score|bbox_pred)|mask_head\.mask_fcn[1-4])\.)", r"\1"),
    Rule(r"proposal_generator\.anchor_generator\.cell_anchors", None, "anchors are computed, not loaded"),
    Rule(r"pixel_(?:mean|std)$", None, "input statistics; those of detectron2's Caffe-style models are folded in"),
)  # fmt: skip

_DIFFERS = (
    "detectron2 does not round anchors and aligns RoIs by half a pixel: boxes move by a fraction of a pixel",
    "detectron2's Caffe-style ResNets have the stride in the 1x1: stride_in_1x1 is set",
)

DETECTOR = Layout(
    "detectron2",
    (r"backbone\.bottom_up\.stem\.conv1\.weight", r"proposal_generator\.rpn_head\.conv\.weight"),
    (*_trunk(r"backbone\.bottom_up\.", "backbone.body."), *_HEADS),
    fixups=(tensor_fixups.background_first, tensor_fixups.background_box_rows, *tensor_fixups.CAFFE_INPUT),
    complete=True,
    arguments={"stride_in_1x1": True},
    differs=_DIFFERS,
)

TRUNK = Layout(
    "detectron2 (trunk)",
    (r"stem\.conv1\.weight", r"res2\.0\.conv1\.weight"),
    tuple(_trunk("", "")),
    fixups=tensor_fixups.CAFFE_INPUT,
    complete=True,
    arguments={"stride_in_1x1": True},
    differs=_DIFFERS[1:],
)
