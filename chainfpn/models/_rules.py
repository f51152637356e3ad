"""Whose rules a detector of two stages follows around its weights: torchvision's, or ChainerCV's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from chainfpn.boxes.anchors import AnchorGenerator
from chainfpn.boxes.chainercv_anchors import ChainerCVAnchorGenerator
from chainfpn.links.detectors.chainercv_preprocess import ChainerCVPreprocess
from chainfpn.links.detectors.paste_masks import paste_masks
from chainfpn.links.detectors.preprocess import Preprocess


class Rules(NamedTuple):
    """What is not in the weights.

    Attributes:
        preprocess (callable): Makes the preprocess for a shorter and a longer side.
        anchors (callable): Makes the anchors for sizes and aspect ratios.
        rpn (dict): Options of the :class:`~chainfpn.links.RegionProposalNetwork`.
        roi_heads (dict): Options of the :class:`~chainfpn.links.RoIHeads`.
        paste (callable): Lays masks over the image.
    """

    preprocess: Callable[..., Preprocess]
    anchors: Callable[..., AnchorGenerator]
    rpn: Mapping[str, Any]
    roi_heads: Mapping[str, Any]
    paste: Callable[..., Any]


#: The smallest positive side: ChainerCV drops only what is empty.
_NOT_EMPTY = float(np.finfo(np.float32).tiny)

RULES = {
    "torchvision": Rules(Preprocess, AnchorGenerator, {}, {}, paste_masks),
    "chainercv": Rules(
        ChainerCVPreprocess,
        ChainerCVAnchorGenerator,
        {"inclusive": True, "clip_to_batch": True, "min_size": _NOT_EMPTY},
        {"inclusive": True, "detections_per_img": None, "min_size": _NOT_EMPTY},
        functools.partial(paste_masks, rounded=True),
    ),
}
