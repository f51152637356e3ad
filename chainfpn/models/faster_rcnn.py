"""Builders of Faster R-CNN on a feature pyramid."""

import functools

from chainfpn.links.backbones.backbone_with_fpn import BackboneWithFPN
from chainfpn.links.detectors.box_head import FastRCNNPredictor, TwoMLPHead, conv_box_head
from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.roi_heads import RoIHeads
from chainfpn.links.detectors.rpn import RegionProposalNetwork, RPNHead
from chainfpn.links.fpn import max_pool_level
from chainfpn.models import detector_parts
from chainfpn.models.detector_documentation import document
from chainfpn.models.detector_parts import (
    anchor_generator,
    build,
    fixed_builder,
    label_options,
)
from chainfpn.models.rules import find_rules
from chainfpn.models.trunks import resnet_trunk, trunk_norm

#: Every option and torchvision's value for it.
DEFAULTS = {**detector_parts.DEFAULTS, "head_channels": 1024, "rules": "torchvision"}


def rcnn_builder(name, assemble, link, summary, *, source):
    """Make a builder of a detector of two stages on any ResNet.

    Args:
        name (str): The builder.
        assemble (callable): Makes the detector from one value for every option of :data:`DEFAULTS`.
        link (type): What it returns.
        summary (str): What it builds, after the word "Build".
        source (str): Where that is from.

    Returns:
        callable: The builder.
    """

    def builder(
        depth=None,
        n_fg_class=None,
        pretrained_model=None,
        *,
        pretrained_backbone=None,
        stages=None,
        fpn_channels=None,
        head_channels=None,
        class_ids=None,
        label_names=None,
        norm=None,
        norm_eps=None,
        min_size=None,
        max_size=None,
        anchor_sizes=None,
        aspect_ratios=None,
        stride_in_1x1=None,
        rules=None,
    ):
        explicit = {
            "depth": depth,
            "n_fg_class": n_fg_class,
            "stages": stages,
            "fpn_channels": fpn_channels,
            "head_channels": head_channels,
            "class_ids": class_ids,
            "label_names": label_names,
            "norm": norm,
            "norm_eps": norm_eps,
            "min_size": min_size,
            "max_size": max_size,
            "anchor_sizes": anchor_sizes,
            "aspect_ratios": aspect_ratios,
            "stride_in_1x1": stride_in_1x1,
            "rules": rules,
        }
        return build(name, assemble, DEFAULTS, pretrained_model, explicit, pretrained_backbone=pretrained_backbone)

    return document(builder, name, link, DEFAULTS, summary=summary, source=source)


def assemble_rcnn(o, *, normed=False, trunk=resnet_trunk, rpn_options=None, link=FasterRCNN, branches=None):
    """Put a detector of two stages together.

    Args:
        o (SimpleNamespace): One value for every option of :data:`DEFAULTS`.
        normed (bool): torchvision's second version: normalization everywhere, and deeper heads.
        trunk (callable): Options and normalization to the trunk and the channels of the maps it returns.
        rpn_options (dict or None): Options of the :class:`~chainfpn.links.RegionProposalNetwork`.
        link (callable): :class:`~chainfpn.links.FasterRCNN` or a subclass.
        branches (callable or None): Options, number of outputs and normalization to the heads and predictors beyond
            those of the boxes, as keyword arguments of :class:`~chainfpn.links.RoIHeads`.

    Returns:
        chainfpn.links.FasterRCNN: The detector.
    """
    rules = find_rules(o.name, o.rules)
    n_output, detector = label_options(o, rules.preprocess(o.min_size, o.max_size))
    norm = trunk_norm(o, frozen=False) if normed else None
    body, channels = trunk(o, norm or trunk_norm(o, frozen=True))
    anchors = anchor_generator(o, [(32 * 2**level,) for level in range(len(channels) + 1)], rules.anchors)
    if normed:
        box_head = conv_box_head(o.fpn_channels, 7, o.head_channels, norm=norm)
    else:
        box_head = TwoMLPHead(o.fpn_channels * 7**2, o.head_channels)
    return link(
        BackboneWithFPN(body, channels, o.fpn_channels, extra_blocks=max_pool_level, norm=norm),
        RegionProposalNetwork(
            RPNHead(o.fpn_channels, anchors.n_anchors, n_layers=2 if normed else 1),
            anchors,
            **{**rules.rpn, **(rpn_options or {})},
        ),
        RoIHeads(
            box_head,
            FastRCNNPredictor(o.head_channels, n_output),
            **rules.roi_heads,
            **({} if branches is None else branches(o, n_output, norm)),
        ),
        **detector,
    )


_V2 = "with batch normalization, not frozen, everywhere and deeper heads."
_SOURCE = "Lin et al. 2017; torchvision 0.14 ``resnet_fpn_backbone``, ``FasterRCNN``."
assemble_rcnn_v2 = functools.partial(assemble_rcnn, normed=True)

fasterrcnn_resnet50_fpn = fixed_builder(
    "fasterrcnn_resnet50_fpn",
    assemble_rcnn,
    DEFAULTS,
    FasterRCNN,
    "torchvision's ``fasterrcnn_resnet50_fpn``.",
    source="Lin et al. 2017",
)
fasterrcnn_resnet50_fpn_v2 = fixed_builder(
    "fasterrcnn_resnet50_fpn_v2",
    assemble_rcnn_v2,
    DEFAULTS,
    FasterRCNN,
    f"torchvision's ``fasterrcnn_resnet50_fpn_v2``: {_V2}",
    source="Li et al. 2021",
)
fasterrcnn_resnet_fpn = rcnn_builder(
    "fasterrcnn_resnet_fpn",
    assemble_rcnn,
    FasterRCNN,
    "Faster R-CNN on any ResNet, any of its stages, any width of pyramid and head.",
    source=_SOURCE,
)
fasterrcnn_resnet_fpn_v2 = rcnn_builder(
    "fasterrcnn_resnet_fpn_v2", assemble_rcnn_v2, FasterRCNN, f"Faster R-CNN on any ResNet, {_V2}", source=_SOURCE
)
