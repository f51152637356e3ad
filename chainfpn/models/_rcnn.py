"""The parts of a detector with proposals, put together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainfpn.links.detectors.roi_heads import RoIHeads
    from chainfpn.models._types import Norm
    from chainfpn.models.faster_rcnn import RCNNOptions


def roi_heads(options: RCNNOptions, norm: Norm, *, class_agnostic: bool = False, **own: Any) -> RoIHeads:
    """Make the heads on proposals.

    Args:
        options (RCNNOptions): The builder's options.
        norm (callable or None): Makes the normalization of a head of convolutions; None for two linear layers.
        class_agnostic (bool): Predict one box for all classes.
        **own: More arguments of :class:`~chainfpn.links.RoIHeads`.

    Returns:
        chainfpn.links.RoIHeads: Without masks and keypoints, but for what ``own`` adds.
    """
    from chainfpn.links.detectors.faster_rcnn import FastRCNNPredictor, TwoMLPHead, conv_box_head
    from chainfpn.links.detectors.roi_heads import RoIHeads

    channels, width = options.fpn_channels, options.head_channels
    settings = {**options.settings_of("box_"), **options.head_settings("rpn_", "box_")}
    return RoIHeads(
        TwoMLPHead(channels * 7**2, width) if norm is None else conv_box_head(channels, 7, width, norm=norm),
        FastRCNNPredictor(width, options.n_class_id, class_agnostic=class_agnostic),
        **{**options.rule_set.roi_heads, **settings, **own},
    )


def assemble_rcnn(
    options: RCNNOptions,
    *,
    v2: bool = False,
    trunk: Callable[..., tuple[Any, list[int]]] | None = None,
    link: Callable[..., Any] | None = None,
    branch: Callable[[Norm], dict[str, Any]] | None = None,
    heads: Callable[[Callable[..., RoIHeads]], Any] | None = None,
) -> Any:
    """Put a detector of two stages together.

    Args:
        options (RCNNOptions): The builder's options.
        v2 (bool): torchvision's second version: normalization everywhere, and deeper heads.
        trunk (callable or None): Options and normalization to the trunk and the channels of the maps it returns; a
            ResNet by default.
        link (callable or None): A subclass of :class:`~chainfpn.links.FasterRCNN`, which is the default.
        branch (callable or None): Normalization to the head and predictor beyond those of the boxes, as keyword
            arguments of :class:`~chainfpn.links.RoIHeads`.
        heads (callable or None): What makes heads of boxes, see :func:`roi_heads`, to those of the detector.

    Returns:
        chainfpn.links.FasterRCNN: The detector.
    """
    from chainfpn.links.detectors.faster_rcnn import FasterRCNN
    from chainfpn.links.detectors.rpn import RegionProposalNetwork, RPNHead
    from chainfpn.links.fpn import BackboneWithFPN, max_pool_level
    from chainfpn.models._trunks import build_trunk, trunk_norm

    rules, channels = options.rule_set, options.fpn_channels
    norm = trunk_norm(options, frozen=False) if v2 else None
    body, in_channels = (trunk or build_trunk)(options, norm or trunk_norm(options, frozen=True))
    sizes = [(32 * 2**level,) for level in range(len(in_channels) + 1)]
    anchors = options.anchor_generator(sizes)
    make_heads = functools.partial(roi_heads, options, norm)
    detector = (link or FasterRCNN)(
        BackboneWithFPN(body, in_channels, channels, extra_blocks=max_pool_level, norm=norm),
        RegionProposalNetwork(
            RPNHead(channels, anchors.n_anchors, n_layers=2 if v2 else 1),
            anchors,
            **{**rules.rpn, **options.settings_of("rpn_")},
        ),
        make_heads(**({} if branch is None else branch(norm))) if heads is None else heads(make_heads),
        **options.base(options.preprocess()),
    )
    return options.follow_rules(detector)


def assemble_rcnn_v2(options: RCNNOptions) -> Any:
    """Put torchvision's second version together: normalization everywhere, and deeper heads."""
    return assemble_rcnn(options, v2=True)
