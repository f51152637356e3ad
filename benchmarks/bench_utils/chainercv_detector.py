"""ChainerCV's own Faster R-CNN with the weights of one of ours, so that it proposes and pools as many RoIs."""

from collections.abc import Iterator

import chainer
import numpy as np
from chainercv.links import FasterRCNNFPNResNet50

from chainfpn.links import FasterRCNN


def chainercv_detector(ours: FasterRCNN, min_size: int) -> FasterRCNNFPNResNet50:
    """Return ChainerCV's detector with our weights, mean and strides within a block: it computes the same maps.

    Its anchors differ a little from ours. With random weights of its own it would propose 15 boxes instead of 1000.

    Args:
        ours (FasterRCNN): ``fasterrcnn_resnet50_fpn``.
        min_size (int): Pixels of the image's shorter side.
    """
    n_fg_class = ours.roi_heads.box_predictor.cls_score.b.size - 1
    theirs = FasterRCNNFPNResNet50(n_fg_class, pretrained_model=None, min_size=min_size)
    for source, target in pairs(ours, theirs):
        for name in source._params:
            getattr(target, name).array = getattr(source, name).array
        for name in source._persistent:
            setattr(target, name, getattr(source, name))
    base = theirs.extractor.base
    for stage in (base.res3, base.res4, base.res5):
        stage.a.conv1.conv.stride, stage.a.conv2.conv.stride = (1, 1), (2, 2)
    mean, std = 255 * np.array([ours.preprocess.mean, ours.preprocess.std], np.float32).reshape(2, 3, 1, 1)
    base.mean = mean
    base.conv1.conv.W.array = base.conv1.conv.W.array / std
    base.conv1.conv.b.array = np.zeros(base.conv1.conv.out_channels, np.float32)
    return theirs


def pairs(ours: FasterRCNN, theirs: FasterRCNNFPNResNet50) -> Iterator[tuple[chainer.Link, chainer.Link]]:
    """Generate our layers that have arrays, each with ChainerCV's own."""
    body, base = ours.backbone.body, theirs.extractor.base
    yield from ((body.conv1, base.conv1.conv), (body.bn1, base.conv1.bn))
    for stage in range(1, 5):
        for block, other in zip(body[f"layer{stage}"], base[f"res{stage + 1}"].children(), strict=True):
            for n in range(1, 4):
                layer = other[f"conv{n}"]
                yield from ((block[f"conv{n}"], layer.conv), (block[f"bn{n}"], layer.bn))
            if getattr(block, "downsample", None) is not None:
                yield from zip(block.downsample, (other.residual_conv.conv, other.residual_conv.bn), strict=True)
    yield from zip(ours.backbone.fpn.inner_blocks, theirs.extractor.inner, strict=True)
    yield from zip(ours.backbone.fpn.layer_blocks, theirs.extractor.outer, strict=True)
    rpn, box_head, box_predictor = ours.rpn.head, ours.roi_heads.box_head, ours.roi_heads.box_predictor
    yield from ((rpn.conv, theirs.rpn.conv), (rpn.cls_logits, theirs.rpn.conf), (rpn.bbox_pred, theirs.rpn.loc))
    yield from ((box_head.fc6, theirs.bbox_head.fc1), (box_head.fc7, theirs.bbox_head.fc2))
    yield from ((box_predictor.cls_score, theirs.bbox_head.conf), (box_predictor.bbox_pred, theirs.bbox_head.loc))
