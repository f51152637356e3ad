"""The mask branch: a small probability map per box and class, its targets and loss.

Shapes: R boxes of an image, R' boxes of a batch, K classes with the background, P positive proposals, S cells a side.
"""

from collections.abc import Sequence
from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import backend

from chainfpn._typing import Array, Arrays, Norm, Size, Sizes, Variable
from chainfpn.functions._gather import gather_class
from chainfpn.functions._losses import binary_cross_entropy
from chainfpn.functions._resize import resize_nearest
from chainfpn.functions._roi_ops import roi_align
from chainfpn.functions.kernels import compute_dtype
from chainfpn.links.detectors.detections import RawDetections, split_by_image
from chainfpn.links.layers import KAIMING, Convolution2D, IndexedSequential, convolve


class MaskHead(chainer.Chain):
    """3x3 convolutions over a pooled box.

    Without normalization the children are ``mask_fcn1``, ``mask_fcn2`` ..., with it ``0``, ``1`` ...: torchvision's two
    spellings.

    Args:
        in_channels (int): Channels of the pyramid.
        layers (sequence of int): Channels of each convolution.
        norm (callable or None): Makes a normalization link for a number of channels; the convolutions then have no
            bias.

    Source:
        He et al. 2017, figure 4 right; torchvision 0.14 ``MaskRCNNHeads``.
    """

    def __init__(self, in_channels: int, layers: Sequence[int] = (256,) * 4, *, norm: Norm | None = None) -> None:
        super().__init__()
        self.names = [str(i) if norm else f"mask_fcn{i + 1}" for i in range(len(layers))]
        with self.init_scope():
            for name, channels in zip(self.names, layers, strict=True):
                convolution = Convolution2D(in_channels, channels, 3, pad=1, nobias=norm is not None, initialW=KAIMING)
                setattr(self, name, IndexedSequential(convolution, norm(channels)) if norm else convolution)
                in_channels = channels

    def forward(self, x: Variable) -> Variable:
        """Compute the features of each box.

        Args:
            x (Variable): (R', C, 14, 14).

        Returns:
            Variable: (R', channels, 14, 14).
        """
        for name in self.names:
            x = convolve(self[name], x, relu=True)
        return x


class MaskRCNNPredictor(chainer.Chain):
    """Mask logits of every class at twice the resolution.

    Args:
        in_channels (int): Channels in.
        n_output (int): Classes including the background, which is class 0.
        channels (int): Channels in between.

    Source:
        He et al. 2017, figure 4 right; torchvision 0.14 ``MaskRCNNPredictor``.
    """

    def __init__(self, in_channels: int, n_output: int, channels: int = 256) -> None:
        super().__init__()
        with self.init_scope():
            self.conv5_mask = L.Deconvolution2D(in_channels, channels, 2, stride=2, initialW=KAIMING)
            self.mask_fcn_logits = Convolution2D(channels, n_output, 1, initialW=KAIMING)

    def forward(self, x: Variable) -> Variable:
        """Predict.

        Args:
            x (Variable): (R', in_channels, 14, 14).

        Returns:
            Variable: (R', K, 28, 28).
        """
        h = F.relu(self.conv5_mask(x))  # (R', channels, 28, 28)
        return self.mask_fcn_logits(h)


def project_masks_on_boxes(mask: Array, size: Size, bbox: Array, matched: Array, side: int) -> Array:
    """Crop the ground truth masks of an image to its positive proposals: the targets of the loss.

    Args:
        mask (array): bool, (R, H, W), in pixels of the image.
        size ((int, int)): Height and width of the image within the batch, to which masks are resized (nearest).
        bbox (array): float, (P, 4), yxyx in pixels of the batch.
        matched (array): int64, (P,), the mask of each box.
        side (int): Cells a side.

    Returns:
        array: dtype of bbox, (P, side, side), how much of each cell is covered.

    Source:
        torchvision 0.14 ``project_masks_on_boxes``.
    """
    mask = mask.astype(bbox.dtype)[None]  # (1, R, H, W)
    whole = round(size[0]), round(size[1])  # ChainerCV's sizes are not whole
    if mask.shape[2:] != whole:
        mask = resize_nearest(mask, whole).array
    return roi_align(mask.transpose(1, 0, 2, 3), bbox, matched.astype(np.int32), side, 1.0).array[:, 0]


def maskrcnn_loss(logits: Variable, sampled: Sequence[Any], masks: Arrays, sizes: Sizes) -> Variable:
    """Compute the mean binary cross entropy of the masks of positive proposals, each of its true class alone.

    Args:
        logits (Variable): (P of all images, K, S, S), the first image's first.
        sampled (sequence of SampledProposals): Per image.
        masks (sequence of array): Per image, bool, (R, H, W), in pixels of the image.
        sizes (list of (int, int)): Height and width of each image within the batch.

    Returns:
        Variable: float32 or float64, (); 0 without a positive proposal.

    Source:
        He et al. 2017, section 3; torchvision 0.14 ``maskrcnn_loss``.
    """
    if not len(logits):
        return F.sum(F.cast(logits, compute_dtype(logits.dtype)))
    xp = backend.get_array_module(sampled[0].bbox)
    targets = [
        project_masks_on_boxes(mask, size, image.positive_bbox, image.matched, logits.shape[3])
        for mask, size, image in zip(masks, sizes, sampled, strict=True)
        if len(image.matched)
    ]
    target = xp.concatenate(targets)  # (P, S, S)
    class_id = xp.concatenate([image.class_id[image.positive] for image in sampled])  # (P,)
    found = gather_class(logits, xp.arange(len(class_id)), class_id, logits.shape[2:])  # (P, S, S)
    return binary_cross_entropy(found, target, divisor=target.size)


def maskrcnn_inference(logits: Array, detections: Sequence[RawDetections]) -> list[RawDetections]:
    """Add the mask of its class to each detection.

    Args:
        logits (array): (R', K, S, S), the first image's first.
        detections (sequence of RawDetections): Per image.

    Returns:
        list of RawDetections: With ``mask``.

    Source:
        torchvision 0.14 ``maskrcnn_inference``.
    """
    xp, bboxes = backend.get_array_module(logits), [found.bbox for found in detections]
    return [
        found._replace(mask=F.sigmoid(logit[xp.arange(len(logit)), found.class_id]).array)
        for found, logit in zip(detections, split_by_image(logits, bboxes), strict=True)
    ]
