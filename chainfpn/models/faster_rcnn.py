"""Builders of Faster R-CNN on a ResNet with a feature pyramid."""

import functools
from types import SimpleNamespace

from chainfpn.boxes.anchors import AnchorGenerator
from chainfpn.links.backbones.backbone_with_fpn import BackboneWithFPN
from chainfpn.links.batch_normalization import FrozenBatchNormalization
from chainfpn.links.detectors.box_head import FastRCNNPredictor, TwoMLPHead
from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.preparation import Preparation
from chainfpn.links.detectors.roi_heads import RoIHeads
from chainfpn.links.detectors.rpn import RegionProposalNetwork, RPNHead
from chainfpn.links.fpn import max_pool_level
from chainfpn.models import resnet
from chainfpn.models.weights import choose, find_weights, resolve_label_names

#: torchvision's COCO detectors have 91 outputs; these are the 80 that COCO's categories use.
COCO_OUTPUTS = tuple(i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

#: Every option and torchvision's value for it. ``n_fg_class`` None is COCO with torchvision's 91 outputs.
DEFAULTS = {
    "depth": 50,
    "n_fg_class": None,
    "stages": (1, 2, 3, 4),
    "fpn_channels": 256,
    "head_channels": 1024,
    "raw_labels": None,
    "label_names": None,
    "norm_eps": 1e-5,
    "min_size": 800,
    "max_size": 1333,
    "anchor_sizes": None,
    "aspect_ratios": (0.5, 1.0, 2.0),
}


def fasterrcnn_resnet50_fpn(
    n_fg_class=None,
    pretrained_model=None,
    *,
    raw_labels=None,
    label_names=None,
    norm_eps=None,
    min_size=None,
    max_size=None,
    anchor_sizes=None,
    aspect_ratios=None,
):
    """Build torchvision's ``fasterrcnn_resnet50_fpn``.

    The arguments are those of :func:`fasterrcnn_resnet_fpn`, whose other options stay at torchvision's values.

    Returns:
        chainfpn.links.FasterRCNN: The detector.

    Source:
        torchvision 0.14 ``fasterrcnn_resnet50_fpn``.
    """
    explicit = {
        "n_fg_class": n_fg_class,
        "raw_labels": raw_labels,
        "label_names": label_names,
        "norm_eps": norm_eps,
        "min_size": min_size,
        "max_size": max_size,
        "anchor_sizes": anchor_sizes,
        "aspect_ratios": aspect_ratios,
    }
    return _build("fasterrcnn_resnet50_fpn", ("coco",), pretrained_model, explicit)


def fasterrcnn_resnet_fpn(
    depth=None,
    n_fg_class=None,
    pretrained_model=None,
    *,
    stages=None,
    fpn_channels=None,
    head_channels=None,
    raw_labels=None,
    label_names=None,
    norm_eps=None,
    min_size=None,
    max_size=None,
    anchor_sizes=None,
    aspect_ratios=None,
):
    """Build Faster R-CNN on any ResNet, any of its stages, any width of pyramid and head.

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, torchvision's value.

    Args:
        depth (int or None): 18, 34, 50, 101 or 152; 50 by default.
        n_fg_class (int or None): Labels, background excluded; by default COCO's 80 on torchvision's 91 outputs.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on the fly.
        stages (sequence of int or None): Stages 1 to 4 of the ResNet that the pyramid stands on, ascending and
            without a gap; (1, 2, 3, 4) by default. Those above the last are cut off.
        fpn_channels (int or None): Channels of every level; 256 by default.
        head_channels (int or None): Width of the two layers of the head; 1024 by default.
        raw_labels (sequence of int or None): For each label the index of the network's output.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        norm_eps (float or None): Epsilon of the frozen batch normalization; 1e-5 by default. torchvision's own COCO
            weights want 0.
        min_size (int or None): Length that the shorter side of an image is resized to; 800 by default.
        max_size (int or None): Limit of the longer side; 1333 by default.
        anchor_sizes (sequence of sequences of float or None): Per level, one level more than stages; 32, 64, 128 ...
            by default.
        aspect_ratios (sequence of float or None): Heights over widths; (0.5, 1, 2) by default.

    Returns:
        chainfpn.links.FasterRCNN: The detector.

    Raises:
        ValueError: if an option is out of its range.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read.

    Source:
        torchvision 0.14 ``resnet_fpn_backbone`` and ``FasterRCNN``.
    """
    explicit = {
        "depth": depth,
        "n_fg_class": n_fg_class,
        "stages": stages,
        "fpn_channels": fpn_channels,
        "head_channels": head_channels,
        "raw_labels": raw_labels,
        "label_names": label_names,
        "norm_eps": norm_eps,
        "min_size": min_size,
        "max_size": max_size,
        "anchor_sizes": anchor_sizes,
        "aspect_ratios": aspect_ratios,
    }
    return _build("fasterrcnn_resnet_fpn", (), pretrained_model, explicit)


def _build(name, zoo, pretrained_model, explicit):
    weights = find_weights(pretrained_model, name=name, zoo=zoo)
    link = _assemble(SimpleNamespace(**choose(DEFAULTS, weights, explicit)))
    return link if weights is None else weights.load_into(link)


def _assemble(o):
    """Put the detector together from one value for every option of DEFAULTS."""
    if o.n_fg_class is None:
        o.n_fg_class, o.raw_labels, o.label_names = len(COCO_OUTPUTS), COCO_OUTPUTS, o.label_names or "coco"
    n_output = 1 + (o.n_fg_class if o.raw_labels is None else max(o.raw_labels))
    n_levels = len(o.stages) + 1
    sizes = [(32 * 2**level,) for level in range(n_levels)] if o.anchor_sizes is None else o.anchor_sizes
    if len(sizes) != n_levels:
        raise ValueError(
            f"fasterrcnn_resnet_fpn: anchor_sizes must have {n_levels} entries, one more than stages, got {len(sizes)}"
        )
    anchors = AnchorGenerator(sizes, o.aspect_ratios)
    head = TwoMLPHead(o.fpn_channels * 7**2, o.head_channels)
    return FasterRCNN(
        _backbone(o.depth, tuple(o.stages), o.fpn_channels, o.norm_eps),
        RegionProposalNetwork(RPNHead(o.fpn_channels, anchors.n_anchors), anchors),
        RoIHeads(head, FastRCNNPredictor(o.head_channels, n_output)),
        n_fg_class=o.n_fg_class,
        raw_labels=o.raw_labels,
        label_names=resolve_label_names(o.label_names),
        preparation=Preparation(o.min_size, o.max_size),
    )


def _backbone(depth, stages, channels, norm_eps):
    if f"resnet{depth}" not in resnet.RESNETS:
        raise ValueError(f"fasterrcnn_resnet_fpn: depth must be 18, 34, 50, 101 or 152, got {depth!r}")
    if not stages or stages != tuple(range(stages[0], stages[-1] + 1)) or not 1 <= stages[0] <= stages[-1] <= 4:
        raise ValueError(f"fasterrcnn_resnet_fpn: stages must be consecutive numbers in 1 to 4, got {stages!r}")
    body = getattr(resnet, f"resnet{depth}")(norm=functools.partial(FrozenBatchNormalization, eps=norm_eps))
    body.pick = tuple(f"layer{stage}" for stage in stages)
    body.remove_unused()
    in_channels = [body.out_channels[stage - 1] for stage in stages]
    return BackboneWithFPN(body, in_channels, channels, extra_blocks=max_pool_level)
