"""ChainerCV's own .npz files: its ResNets, and its Faster and Mask R-CNN with FPN."""

from weights_convert import numeric
from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule

_BN = {
    "gamma": "weight",
    "beta": "bias",
    "avg_mean": "running_mean",
    "avg_var": "running_var",
    "N": "num_batches_tracked",
}


def _leaves(pattern, conv, norm):
    """Return the rules of a Conv2DBNActiv: one for the convolution, five for its norm."""
    rules = [Rule(rf"{pattern}conv/W$", f"{conv}.weight"), Rule(rf"{pattern}conv/b$", f"{conv}.bias")]
    return rules + [Rule(rf"{pattern}bn/{ours}$", f"{norm}.{torch}") for ours, torch in _BN.items()]


def _trunk(before, after):
    rules = _leaves(f"{before}conv1/", f"{after}conv1", f"{after}bn1")
    for stage in range(1, 5):
        to = f"{after}layer{stage}."
        at = f"{before}res{stage + 1}/"
        rules += _leaves(f"{at}a/residual_conv/", f"{to}0.downsample.0", f"{to}0.downsample.1")
        rules += _leaves(rf"{at}a/conv(\d)/", rf"{to}0.conv\1", rf"{to}0.bn\1")
        rules += _leaves(rf"{at}b(\d+)/conv(\d)/", rf"{to}\1.conv\2", rf"{to}\1.bn\2")
    return rules


def _plain(before, after):
    return [Rule(f"{before}/W$", f"{after}.weight"), Rule(f"{before}/b$", f"{after}.bias")]


_HEADS = [
    *_plain(r"extractor/inner/(\d)", r"backbone.fpn.inner_blocks.\1"),
    *_plain(r"extractor/outer/(\d)", r"backbone.fpn.layer_blocks.\1"),
    *_plain("rpn/conv", "rpn.head.conv"),
    *_plain("rpn/conf", "rpn.head.cls_logits"),
    *_plain("rpn/loc", "rpn.head.bbox_pred"),
    *_plain("bbox_head/fc1", "roi_heads.box_head.fc6"),
    *_plain("bbox_head/fc2", "roi_heads.box_head.fc7"),
    *_plain("bbox_head/conf", "roi_heads.box_predictor.cls_score"),
    *_plain("bbox_head/loc", "roi_heads.box_predictor.bbox_pred"),
    *_plain(r"mask_head/conv(\d)/conv", r"roi_heads.mask_head.mask_fcn\1"),
    *_plain("mask_head/conv5", "roi_heads.mask_predictor.conv5_mask"),
    *_plain("mask_head/seg", "roi_heads.mask_predictor.mask_fcn_logits"),
]

_INPUT = "ChainerCV subtracts the mean (123.1516, 115.9029, 103.0626) from RGB in 0..255 and divides by nothing"

DETECTOR = Layout(
    "ChainerCV FPN",
    (r"extractor/base/conv1/conv/W", r"bbox_head/conf/W"),
    (*_trunk("extractor/base/", "backbone.body."), *_HEADS),
    steps=(numeric.box_axes_xy, numeric.stem_bias_into_norm),
    complete=True,
    chainer_names=True,
    arguments={"stride_in_1x1": True, "norm_eps": 2e-5, "rules": "chainercv"},
    any_trunk=True,
    differs=("input, anchors, thresholds and masks are ChainerCV's: rules is set",),
)

RESNET = Layout(
    "ChainerCV ResNet",
    (r"conv1/conv/W", r"res2/a/conv1/conv/W"),
    (*_trunk("", ""), *_plain("fc6", "fc")),
    steps=(numeric.stem_bias_into_norm,),
    complete=True,
    chainer_names=True,
    arguments={"stride_in_1x1": True},
    differs=(_INPUT, "ChainerCV's 'fb' ResNets have the stride in the 3x3: --meta stride_in_1x1=false for those"),
)
