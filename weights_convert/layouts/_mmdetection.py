r"""mmdetection 1.x, 2.x and 3.x: torchvision's ResNet, its own names for the rest."""

from weights_convert import tensor_fixups
from weights_convert._typing import Tensors
from weights_convert.layouts.layout import Layout
from weights_convert.report import Report
from weights_convert.rules import Rule, prefixes

_PYRAMID = (
    Rule(r"backbone\.(?=conv1|bn1|layer\d)", "backbone.body."),
    Rule(r"neck\.lateral_convs\.(\d)\.conv\.", r"backbone.fpn.inner_blocks.\1."),
)
_INPUT = Rule(r"data_preprocessor\.", None, "input statistics, torchvision's in 'pytorch' style configurations")

_TWO_STAGE = (
    *_PYRAMID,
    Rule(r"neck\.fpn_convs\.(\d)\.conv\.", r"backbone.fpn.layer_blocks.\1."),
    *prefixes({
        "rpn_head.rpn_conv": "rpn.head.conv",
        "rpn_head.rpn_cls": "rpn.head.cls_logits",
        "rpn_head.rpn_reg": "rpn.head.bbox_pred",
    }),
    *prefixes({
        "bbox_head.shared_fcs.0": "roi_heads.box_head.fc6",
        "bbox_head.shared_fcs.1": "roi_heads.box_head.fc7",
        "bbox_head.fc_cls": "roi_heads.box_predictor.cls_score",
        "bbox_head.fc_reg": "roi_heads.box_predictor.bbox_pred",
        **{f"mask_head.convs.{i}.conv": f"roi_heads.mask_head.mask_fcn{i + 1}" for i in range(4)},
        "mask_head.upsample": "roi_heads.mask_predictor.conv5_mask",
        "mask_head.conv_logits": "roi_heads.mask_predictor.mask_fcn_logits",
    }, optional="roi_head."),
    _INPUT,
)  # fmt: skip

#: Of RetinaNet: the pyramid goes on beyond the trunk's maps, and there is one head.
_RETINANET = (
    *_PYRAMID,
    Rule(r"neck\.fpn_convs\.([012])\.conv\.", r"backbone.fpn.layer_blocks.\1."),
    *prefixes({
        "neck.fpn_convs.3.conv": "backbone.fpn.extra_blocks.p6",
        "neck.fpn_convs.4.conv": "backbone.fpn.extra_blocks.p7",
        **{f"bbox_head.cls_convs.{i}.conv": f"head.classification_head.conv.{2 * i}" for i in range(4)},
        **{f"bbox_head.reg_convs.{i}.conv": f"head.regression_head.conv.{2 * i}" for i in range(4)},
        "bbox_head.retina_cls": "head.classification_head.cls_logits",
        "bbox_head.retina_reg": "head.regression_head.bbox_reg",
    }),
    _INPUT,
)  # fmt: skip


def _background(tensors: Tensors, report: Report) -> Tensors:
    """Move the background where 2.0 put it last: there the boxes have no rows for it, in 1.x they do."""
    (n_logits,), (n_deltas,) = (tensors[f"roi_heads.box_predictor.{n}.bias"].shape for n in ("cls_score", "bbox_pred"))
    if n_deltas == 4 * n_logits:
        report.notes.append("boxes have rows for the background: mmdetection 1.x, background first already")
        return tensors
    return tensor_fixups.background_box_rows(tensor_fixups.background_first(tensors, report), report)


_STYLE = "taken as 'pytorch' style (RGB, mean and std); a 'caffe' style model needs --meta input=caffe"

RETINANET = Layout(
    "mmdetection RetinaNet",
    (r"neck\.fpn_convs\.4\.conv\.weight", r"bbox_head\.retina_cls\.weight"),
    _RETINANET,
    fixups=(tensor_fixups.background_logit,),
    complete=True,
    arguments={
        "p7_relu": False,
        "anchor_sizes": [[32 * 2**level * 2 ** (third / 3) for third in range(3)] for level in range(5)],
    },
    any_trunk=True,
    differs=("mmdetection does not round anchors: boxes move by up to half a pixel", _STYLE),
)

TWO_STAGE = Layout(
    "mmdetection",
    (
        r"neck\.lateral_convs\.0\.conv\.weight",
        r"rpn_head\.rpn_conv\.weight",
        r"(?:roi_head\.)?bbox_head\.fc_(?:cls|reg)\.bias",
    ),
    _TWO_STAGE,
    fixups=(_background,),
    complete=True,
    differs=(
        "mmdetection does not round anchors, and since 2.0 aligns RoIs by half a pixel: boxes move a little",
        _STYLE,
    ),
)
