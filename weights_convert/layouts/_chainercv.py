"""ChainerCV's own .npz files: its ResNets, and its Faster and Mask R-CNN with FPN."""

from weights_convert import tensor_fixups
from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule, leaf_rules

#: The last part of a name -> torch's.
_PARAMS = {"/W": ".weight", "/b": ".bias"}
_NORM_PARAMS = {
    "/gamma": ".weight", "/beta": ".bias", "/avg_mean": ".running_mean", "/avg_var": ".running_var",
    "/N": ".num_batches_tracked",
}  # fmt: skip


def _conv_bn(pattern: str, conv: str, norm: str) -> list[Rule]:
    """Return the rules of a Conv2DBNActiv: those of the convolution, and of its norm."""
    return leaf_rules({f"{pattern}conv": conv}, _PARAMS) + leaf_rules({f"{pattern}bn": norm}, _NORM_PARAMS)


def _trunk(before: str, after: str) -> list[Rule]:
    rules = _conv_bn(f"{before}conv1/", f"{after}conv1", f"{after}bn1")
    for stage in range(1, 5):
        to = f"{after}layer{stage}."
        at = f"{before}res{stage + 1}/"
        rules += _conv_bn(f"{at}a/residual_conv/", f"{to}0.downsample.0", f"{to}0.downsample.1")
        rules += _conv_bn(rf"{at}a/conv(\d)/", rf"{to}0.conv\1", rf"{to}0.bn\1")
        rules += _conv_bn(rf"{at}b(\d+)/conv(\d)/", rf"{to}\1.conv\2", rf"{to}\1.bn\2")
    return rules


_DETECTOR = {
    r"extractor/inner/(\d)": r"backbone.fpn.inner_blocks.\1",
    r"extractor/outer/(\d)": r"backbone.fpn.layer_blocks.\1",
    "rpn/conv": "rpn.head.conv",
    "rpn/conf": "rpn.head.cls_logits",
    "rpn/loc": "rpn.head.bbox_pred",
    "bbox_head/fc1": "roi_heads.box_head.fc6",
    "bbox_head/fc2": "roi_heads.box_head.fc7",
    "bbox_head/conf": "roi_heads.box_predictor.cls_score",
    "bbox_head/loc": "roi_heads.box_predictor.bbox_pred",
    r"mask_head/conv(\d)/conv": r"roi_heads.mask_head.mask_fcn\1",
    "mask_head/conv5": "roi_heads.mask_predictor.conv5_mask",
    "mask_head/seg": "roi_heads.mask_predictor.mask_fcn_logits",
}


_INPUT = "ChainerCV subtracts the mean (123.1516, 115.9029, 103.0626) from RGB in 0..255 and divides by nothing"

LAYOUTS = (
    Layout(
        "ChainerCV FPN",
        (r"extractor/base/conv1/conv/W", r"bbox_head/conf/W"),
        (*_trunk("extractor/base/", "backbone.body."), *leaf_rules(_DETECTOR, _PARAMS)),
        fixups=(tensor_fixups.box_axes_xy, tensor_fixups.stem_bias_into_norm),
        complete=True,
        chainer_names=True,
        arguments={"stride_in_1x1": True, "norm_eps": 2e-5, "rules": "chainercv"},
        any_trunk=True,
        differs=("input, anchors, thresholds and masks are ChainerCV's: rules is set",),
    ),
    Layout(
        "ChainerCV ResNet",
        (r"conv1/conv/W", r"res2/a/conv1/conv/W"),
        (*_trunk("", ""), *leaf_rules({"fc6": "fc"}, _PARAMS)),
        fixups=(tensor_fixups.stem_bias_into_norm,),
        complete=True,
        chainer_names=True,
        arguments={"stride_in_1x1": True},
        differs=(_INPUT, "ChainerCV's 'fb' ResNets have the stride in the 3x3: --meta stride_in_1x1=false for those"),
    ),
)
