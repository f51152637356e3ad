"""The mask branch: a small probability map per region and class, and how it is laid over the image."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import initializers

from chainfpn.functions import resize_bilinear
from chainfpn.links.convolution_2d import Convolution2D
from chainfpn.links.indexed_sequential import IndexedSequential


class MaskHead(chainer.Chain):
    """Four 3x3 convolutions over a pooled region.

    Without normalization the children are ``mask_fcn1`` ... ``mask_fcn4``, with it ``0`` ... ``3``: torchvision's two
    spellings.

    Args:
        in_channels (int): Channels of the pyramid.
        channels (int): Channels of the convolutions.
        norm (callable or None): Makes a normalization link for a number of channels; the convolutions then have no
            bias.

    Source:
        He et al. 2017, figure 4 right; torchvision 0.14 ``MaskRCNNHeads``.
    """

    def __init__(self, in_channels, channels=256, *, norm=None):
        super().__init__()
        self.names = [str(i) if norm else f"mask_fcn{i + 1}" for i in range(4)]
        with self.init_scope():
            for name in self.names:
                convolution = Convolution2D(
                    in_channels, channels, 3, pad=1, nobias=norm is not None, initialW=_kaiming()
                )
                setattr(self, name, IndexedSequential(convolution, norm(channels)) if norm else convolution)
                in_channels = channels

    def forward(self, x):
        """Compute the features of each region.

        Args:
            x (Variable): (R', C, 14, 14).

        Returns:
            Variable: (R', channels, 14, 14).
        """
        for name in self.names:
            x = F.relu(self[name](x))  # (R', C, 14, 14)
        return x


class MaskRCNNPredictor(chainer.Chain):
    """Mask logits of every class at twice the resolution.

    Args:
        in_channels (int): Channels in.
        n_output (int): Classes including the background, which is output 0.
        channels (int): Channels in between.

    Source:
        He et al. 2017, figure 4 right; torchvision 0.14 ``MaskRCNNPredictor``.
    """

    def __init__(self, in_channels, n_output, channels=256):
        super().__init__()
        with self.init_scope():
            self.conv5_mask = L.Deconvolution2D(in_channels, channels, 2, stride=2, initialW=_kaiming())
            self.mask_fcn_logits = Convolution2D(channels, n_output, 1, initialW=_kaiming())

    def forward(self, x):
        """Predict.

        Args:
            x (Variable): (R', in_channels, 14, 14).

        Returns:
            Variable: (R', n_output, 28, 28).
        """
        h = F.relu(self.conv5_mask(x))  # (R', channels, 28, 28)
        return self.mask_fcn_logits(h)  # (R', n_output, 28, 28)


def paste_masks(mask, bbox, size, *, rounded=False):
    """Lay the mask of each box over the image.

    A border of zeros is put around the grid, the box grown by as much and rounded towards zero to whole pixels, and the
    grid resized bilinearly to it, the last pixel included.

    Args:
        mask (array): float, (R, S, S), probabilities.
        bbox (array): float, (R, 4), yxyx in pixels of the image.
        size ((int, int)): Height and width of the image.
        rounded (bool): Round the box to the nearest pixels instead, and leave the last one out.

    Returns:
        array: bool, (R, H, W), where the probability is above 0.5.

    Source:
        torchvision 0.14 ``paste_masks_in_image``; rounded, ChainerCV 0.13 ``segm_to_mask``.
    """
    pasted = np.zeros((len(mask), *size), dtype=bool)
    mask = np.pad(mask, ((0, 0), (1, 1), (1, 1)))  # (R, S + 2, S + 2)
    growth = bbox.dtype.type(mask.shape[1] / (mask.shape[1] - 2))
    half = (bbox[:, 2:] - bbox[:, :2]) * bbox.dtype.type(0.5) * growth
    centre = (bbox[:, 2:] + bbox[:, :2]) * bbox.dtype.type(0.5)
    corners = np.concatenate((centre - half, centre + half), axis=1)  # (R, 4)
    corners = (np.round(corners) if rounded else corners).astype(np.int64)
    corners[:, 2:] += not rounded  # one behind the last pixel
    for over, grid, (top, left, bottom, right) in zip(pasted, mask, corners, strict=True):
        height, width = max(bottom - top, 1), max(right - left, 1)
        resized = resize_bilinear(grid[None, None], (int(height), int(width))).array[0, 0]  # (height, width)
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(bottom, size[0]), min(right, size[1])
        over[y0:y1, x0:x1] = resized[y0 - top : y1 - top, x0 - left : x1 - left] > 0.5
    return pasted


def _kaiming():
    return initializers.HeNormal(fan_option="fan_out")
