"""mmdetection 1.x, 2.x and 3.x: torchvision's ResNet, its own names for the rest."""

from weights_convert import numeric
from weights_convert.layouts.layout import Layout
from weights_convert.rules import Rule

_ROI = r"(?:roi_head\.)?"

_TABLE = (
    Rule(r"backbone\.(?=conv1|bn1|layer\d)", "backbone.body."),
    Rule(r"neck\.lateral_convs\.(\d)\.conv\.", r"backbone.fpn.inner_blocks.\1."),
    Rule(r"neck\.fpn_convs\.(\d)\.conv\.", r"backbone.fpn.layer_blocks.\1."),
    Rule(r"rpn_head\.rpn_conv\.", "rpn.head.conv."),
    Rule(r"rpn_head\.rpn_cls\.", "rpn.head.cls_logits."),
    Rule(r"rpn_head\.rpn_reg\.", "rpn.head.bbox_pred."),
    Rule(_ROI + r"bbox_head\.shared_fcs\.0\.", "roi_heads.box_head.fc6."),
    Rule(_ROI + r"bbox_head\.shared_fcs\.1\.", "roi_heads.box_head.fc7."),
    Rule(_ROI + r"bbox_head\.fc_cls\.", "roi_heads.box_predictor.cls_score."),
    Rule(_ROI + r"bbox_head\.fc_reg\.", "roi_heads.box_predictor.bbox_pred."),
    *(Rule(_ROI + rf"mask_head\.convs\.{i}\.conv\.", f"roi_heads.mask_head.mask_fcn{i + 1}.") for i in range(4)),
    Rule(_ROI + r"mask_head\.upsample\.", "roi_heads.mask_predictor.conv5_mask."),
    Rule(_ROI + r"mask_head\.conv_logits\.", "roi_heads.mask_predictor.mask_fcn_logits."),
    Rule(r"data_preprocessor\.", None, "input statistics, torchvision's in 'pytorch' style configurations"),
)


def _modern_background(tensors, report):
    """Move the background where 2.0 put it last: there the boxes have no rows for it, in 1.x they do."""
    n_rows = [tensors[f"roi_heads.box_predictor.{name}.bias"].shape for name in ("cls_score", "bbox_pred")]
    if n_rows[1][0] == 4 * n_rows[0][0]:
        report.notes.append("boxes have rows for the background: mmdetection 1.x, background first already")
        return tensors
    return numeric.background_box_rows(numeric.background_first(tensors, report), report)


#: Of RetinaNet: the pyramid goes on beyond the trunk's maps, and there is one head.
_RETINANET_TABLE = (
    *_TABLE[:2],
    Rule(r"neck\.fpn_convs\.([012])\.conv\.", r"backbone.fpn.layer_blocks.\1."),
    Rule(r"neck\.fpn_convs\.3\.conv\.", "backbone.fpn.extra_blocks.p6."),
    Rule(r"neck\.fpn_convs\.4\.conv\.", "backbone.fpn.extra_blocks.p7."),
    *(
        Rule(rf"bbox_head\.{theirs}_convs\.{i}\.conv\.", f"head.{ours}_head.conv.{2 * i}.")
        for theirs, ours in (("cls", "classification"), ("reg", "regression"))
        for i in range(4)
    ),
    Rule(r"bbox_head\.retina_cls\.", "head.classification_head.cls_logits."),
    Rule(r"bbox_head\.retina_reg\.", "head.regression_head.bbox_reg."),
    _TABLE[-1],
)

_STYLE = "taken as 'pytorch' style (RGB, mean and std); a 'caffe' style model needs --meta input=caffe"

RETINANET = Layout(
    "mmdetection RetinaNet",
    (r"neck\.fpn_convs\.4\.conv\.weight", r"bbox_head\.retina_cls\.weight"),
    _RETINANET_TABLE,
    steps=(numeric.background_logit,),
    complete=True,
    arguments={
        "p7_relu": False,
        "anchor_sizes": [[32 * 2**level * 2 ** (third / 3) for third in range(3)] for level in range(5)],
    },
    any_trunk=True,
    differs=("mmdetection does not round anchors: boxes move by up to half a pixel", _STYLE),
)

LAYOUT = Layout(
    "mmdetection",
    (r"neck\.lateral_convs\.0\.conv\.weight", r"rpn_head\.rpn_conv\.weight", _ROI + r"bbox_head\.fc_(?:cls|reg)\.bias"),
    _TABLE,
    steps=(_modern_background,),
    complete=True,
    differs=(
        "mmdetection does not round anchors, and since 2.0 aligns RoIs by half a pixel: boxes move a little",
        _STYLE,
    ),
)
