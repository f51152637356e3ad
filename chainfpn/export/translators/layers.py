"""Layers with weights, and normalizations, which go into the layer before them where they can."""

import numpy as np
from chainer.functions.connection.convolution_2d import Convolution2DFunction
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.connection.linear import LinearFunction
from chainer.functions.normalization.batch_normalization import BatchNormalization, FixedBatchNormalization
from chainer.functions.normalization.group_normalization import GroupNormalization
from chainer.functions.normalization.l2_normalization import NormalizeL2
from chainer.functions.normalization.local_response_normalization import LocalResponseNormalization

from chainfpn.export.trace import ExportError
from chainfpn.export.translate import Layer, Site, Translated
from chainfpn.functions._fixed_normalization import FixedNormalization
from chainfpn.functions._scale_shift import ScaleShift


def _layer(site, out_axis, n_out, emit):
    """Return the layer of inputs x, W and perhaps b."""
    W = site.array(1)
    b = site.array(2) if len(site.call.inputs) > 2 else np.zeros(n_out, W.dtype)
    return Layer(W, b, out_axis, site.name(1), emit)


def _geometry(site):
    """Return the attributes that a convolution and its transpose share."""
    f = site.function
    return {"strides": [f.sy, f.sx], "dilations": [f.dy, f.dx], "group": f.groups}


def convolution(site: Site) -> Translated:
    """Convolve."""
    f, x = site.function, site.tensor()
    if f.cover_all:
        raise ExportError("a convolution with cover_all=True has no ONNX operator")
    pads = [f.ph, f.pw, f.ph, f.pw]
    kernel = list(site.array(1).shape[2:])

    def emit(W, b):
        return site.graph.op("Conv", x, W, b, pads=pads, kernel_shape=kernel, **_geometry(site))

    return _layer(site, 0, len(site.array(1)), emit)


def deconvolution(site: Site) -> Translated:
    """Convolve transposed."""
    f, x, W = site.function, site.tensor(), site.array(1)
    for (*_, height, width), (*_, outh, outw) in zip(site.call.inputs[0].shapes, site.shapes, strict=True):
        axes = ((height, outh, f.sy, f.ph, f.dy, W.shape[2]), (width, outw, f.sx, f.pw, f.dx, W.shape[3]))
        if any(n_out != s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, n_out, s, p, d, k in axes):
            raise ExportError("a transposed convolution with an outsize of its own has no ONNX operator")
    pads = [f.ph, f.pw, f.ph, f.pw]

    def emit(W, b):
        kernel = list(site.array(1).shape[2:])
        return site.graph.op("ConvTranspose", x, W, b, pads=pads, kernel_shape=kernel, **_geometry(site))

    n_out = W.shape[1] * f.groups
    layer = _layer(site, 1, n_out, emit)
    return layer if f.groups == 1 else emit(site.graph.constant(W), site.graph.constant(layer.b))


def linear(site: Site) -> Translated:
    """Multiply with a matrix."""
    x = site.tensor()
    return _layer(site, 0, len(site.array(1)), lambda W, b: site.graph.op("Gemm", x, W, b, transB=1))


def _affine(site, scale, shift):
    """Multiply channels and add to them: in the layer before, if nothing else needs what it gives."""
    value = site.call.inputs[0]
    if isinstance(value.result, Layer) and value.n_uses == 1:
        return value.result.scaled(scale, shift)
    scale, shift = scale.astype(np.float32), shift.astype(np.float32)
    zeros, ones = np.zeros_like(scale), np.ones_like(scale)
    return site.graph.op("BatchNormalization", site.tensor(), scale, shift, zeros, ones, epsilon=0.0)


def fixed_batch_normalization(site: Site) -> Translated:
    """Normalize by known statistics."""
    gamma, beta, mean, var = (site.array(i).astype(np.float64) for i in range(1, 5))
    scale = gamma / np.sqrt(var + site.same("eps"))
    if gamma.ndim != 1 or set(site.function.axis) != {*range(len(site.shapes[0]))} - {1}:
        raise ExportError("batch normalization over other axes than all but the channels has no ONNX operator")
    return _affine(site, scale, beta - mean * scale)


def scale_shift(site: Site) -> Translated:
    """Scale and shift channels."""
    return _affine(site, site.same("scale").astype(np.float64), site.same("shift").astype(np.float64))


def fixed_normalization(site: Site) -> Translated:
    """Normalize by known statistics, add, rectify."""
    gamma, beta, mean, var = (a.astype(np.float64) for a in site.function.statistics[:4])
    scale = gamma / np.sqrt(var + site.function.statistics.eps)
    y = _affine(site, scale, beta - mean * scale)
    adds = len(site.call.inputs) > 1
    if isinstance(y, Layer) and (adds or site.same("relu")):
        y = y.put(site.graph)
    y = y + site.tensor(1) if adds else y
    return site.graph.op("Relu", y) if site.same("relu") else y


def batch_normalization(site: Site) -> Translated:
    """Refuse to normalize by the statistics of the batch."""
    raise ExportError("batch normalization by the statistics of the batch belongs to training")


def group_normalization(site: Site) -> Translated:
    """Normalize groups of channels."""
    x, groups = site.tensor(), site.same("groups")
    gamma, beta = site.array(1), site.array(2)
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    flat = x.reshape(0, groups, -1)
    normal = site.graph.op("InstanceNormalization", flat, ones, zeros, epsilon=float(site.same("eps")))
    over = (-1, *[1] * (len(site.shapes[0]) - 2))
    return normal.reshape(x.shape()) * gamma.reshape(over) + beta.reshape(over)


def normalize_l2(site: Site) -> Translated:
    """Divide by the length along an axis."""
    x = site.tensor()
    length = site.graph.op("ReduceL2", x, axes=list(site.same("axis")), keepdims=1)
    return x / (length + site.same("eps"))


def local_response_normalization(site: Site) -> Translated:
    """Normalize over neighbouring channels."""
    n, k, alpha, beta = (site.same(name) for name in ("n", "k", "alpha", "beta"))
    return site.graph.op("LRN", site.tensor(), size=n, bias=float(k), alpha=float(alpha * n), beta=float(beta))


TRANSLATORS = {
    Convolution2DFunction: convolution,
    Deconvolution2DFunction: deconvolution,
    LinearFunction: linear,
    FixedBatchNormalization: fixed_batch_normalization,
    BatchNormalization: batch_normalization,
    FixedNormalization: fixed_normalization,
    ScaleShift: scale_shift,
    GroupNormalization: group_normalization,
    NormalizeL2: normalize_l2,
    LocalResponseNormalization: local_response_normalization,
}
