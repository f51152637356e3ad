"""Chains of Chainer's and ChainerCV's own links on the convolutions of this package."""

from typing import Any

import chainer
import chainer.functions as F
import chainer.links as L
from chainercv.links import Conv2DActiv, Conv2DBNActiv

from chainfpn._typing import Variable
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.layers import Convolution2D, convolve


class _ConvActiv(Conv2DActiv):
    """ChainerCV's convolution and activation, and the normalization between them if there is one."""

    bn: Any = None

    def forward(self, x: Variable) -> Variable:
        """Convolve, normalize, activate: (B, C, H, W) to (B, O, outh, outw)."""
        if self.activ is F.relu:
            return convolve(self.conv, x, self.bn, relu=True)  # (B, O, outh, outw)
        h = convolve(self.conv, x, self.bn)  # (B, O, outh, outw)
        return h if self.activ is None else self.activ(h)  # (B, O, outh, outw)


#: Classes of others, and which of this package have the same attributes and compute the same.
TWINS: dict[type, type] = {
    L.Convolution2D: Convolution2D,
    L.BatchNormalization: BatchNormalization,
    Conv2DActiv: _ConvActiv,
    Conv2DBNActiv: _ConvActiv,
}


def fuse_for_inference(model: chainer.Link) -> Any:
    """Return a chain of Chainer's and ChainerCV's links that convolves as those of this package do.

    Outside of training, on a CPU, bias, batch normalization and ReLU are then applied to each block of a convolution's
    result while that is in the cache, where one link holds them (ChainerCV's ``Conv2DActiv`` and ``Conv2DBNActiv``);
    other functions are computed as before. The models of this package do so by themselves. In training and with hooks
    the chain computes one function after the other.

    Args:
        model (chainer.Link): Any, ChainerCV's detectors and one's own among them; it stays as it is.

    Returns:
        chainer.Link: A copy of the same class that shares its parameters and statistics: what is changed in place there
        counts here.

    Raises:
        InvalidType: if model is no link.
        InvalidArgument: if it has no convolution that is Chainer's, ChainerCV's or of this package.

    Example:
        >>> import chainer.functions as F, chainer.links as L, numpy as np
        >>> from chainfpn.links import fuse_for_inference
        >>> model = chainer.Sequential(L.Convolution2D(3, 8, 3), F.relu)
        >>> fused = fuse_for_inference(model)
        >>> fused[0].W.array is model[0].W.array
        True
    """
    if not isinstance(model, chainer.Link):
        raise InvalidType("fuse_for_inference", "model", "a chainer.Link", model)
    copy = model.copy(mode="share")
    links = list(copy.links())
    if not any(isinstance(link, L.Convolution2D) for link in links):
        rule = "a chain with a Convolution2D"
        kinds = ", ".join(sorted({type(link).__name__ for link in links}))
        raise InvalidArgument("fuse_for_inference", "model", rule, model, got=f"links of {kinds}")
    for link in links:
        twin = TWINS.get(type(link))
        if twin is not None and (twin is not BatchNormalization or _normalizes_channels(link)):
            link.__class__ = twin
    return copy


def _normalizes_channels(link):
    """Return whether a batch normalization is over all axes but the channels', with factors and offsets."""
    terms = getattr(link, "gamma", None), getattr(link, "beta", None)
    return all(term is not None for term in terms) and link.axis in (None, (0, 2, 3))
