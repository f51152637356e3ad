"""Layers with weights, and normalizations, which go into the layer before them where they can."""

import numpy as np
from chainer.functions.connection import convolution_2d as chainers
from chainer.functions.connection import linear as linears
from chainer.functions.connection.convolution_nd import ConvolutionND
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.connection.deconvolution_nd import DeconvolutionND
from chainer.functions.normalization.batch_normalization import BatchNormalization, FixedBatchNormalization
from chainer.functions.normalization.group_normalization import GroupNormalization
from chainer.functions.normalization.l2_normalization import NormalizeL2
from chainer.functions.normalization.layer_normalization import LayerNormalization
from chainer.functions.normalization.local_response_normalization import LocalResponseNormalization

from chainfpn.export.trace import ExportError
from chainfpn.export.translate import Layer, Site, Translated
from chainfpn.functions._convolution_2d import Convolution2DFunction
from chainfpn.functions._fixed_normalization import FixedNormalization
from chainfpn.functions._linear_map import LinearFunction
from chainfpn.functions._scale_shift import ScaleShift


def _layer(site, out_axis, n_out, emit):
    """Return the layer of inputs x, W and perhaps b."""
    W = site.array(1)
    b = site.array(2) if len(site.call.inputs) > 2 else np.zeros(n_out, W.dtype)
    return Layer(W, b, out_axis, site.name(1), emit)


def _geometry(site):
    """Return the attributes that a convolution and its transpose share."""
    is_nd = hasattr(site.function, "ndim")
    names = (["stride"], ["dilate"], ["pad"]) if is_nd else (["sy", "sx"], ["dy", "dx"], ["ph", "pw"])
    stride, dilate, pad = (np.ravel([site.same(name) for name in group]).tolist() for group in names)
    kernel = [*site.array(1).shape[2:]]
    return {
        "strides": stride,
        "dilations": dilate,
        "pads": pad * 2,
        "kernel_shape": kernel,
        "group": site.same("groups"),
    }


def convolution(site: Site) -> Translated:
    """Convolve."""
    x, geometry = site.tensor(), _geometry(site)
    if site.function.cover_all:
        raise ExportError("a convolution with cover_all=True has no ONNX operator")

    def emit(W, b):
        return site.graph.op("Conv", x, W, b, **geometry)

    return _layer(site, 0, len(site.array(1)), emit)


def deconvolution(site: Site) -> Translated:
    """Convolve transposed; to an outsize of its own by way of the largest there is."""
    x, W, geometry = site.tensor(), site.array(1), _geometry(site)
    strides, axes = geometry["strides"], range(2, W.ndim)
    before, after = (np.array(s)[:, 2:] for s in (site.call.inputs[0].shapes, site.shapes))  # of both runs
    reach = np.array(geometry["dilations"]) * (np.array(W.shape[2:]) - 1)
    natural = strides * (before - 1) + reach + 1 - 2 * np.array(geometry["pads"][: len(axes)])
    size = None
    if (after != natural).any():
        size = site.shape_of([shape[2:] for shape in site.shapes], start=2)
        geometry["output_padding"] = [stride - 1 for stride in strides]

    def emit(W, b):
        y = site.graph.op("ConvTranspose", x, W, b, **geometry)
        return y if size is None else site.graph.op("Slice", y, [0] * len(axes), size, [*axes])

    layer = _layer(site, 1, W.shape[1] * geometry["group"], emit)
    return layer if geometry["group"] == 1 else emit(site.graph.constant(W), site.graph.constant(layer.b))


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
    size = n // 2 * 2 + 1  # as many on both sides
    return site.graph.op("LRN", site.tensor(), size=size, bias=float(k), alpha=float(alpha * size), beta=float(beta))


def layer_normalization(site: Site) -> Translated:
    """Normalize rows."""
    x, *factors = site.tensors()
    return site.graph.op("LayerNormalization", x, *factors, axis=-1, epsilon=float(site.same("eps")))


TRANSLATORS = {
    **dict.fromkeys((chainers.Convolution2DFunction, Convolution2DFunction, ConvolutionND), convolution),
    **dict.fromkeys((Deconvolution2DFunction, DeconvolutionND), deconvolution),
    **dict.fromkeys((linears.LinearFunction, LinearFunction), linear),
    LayerNormalization: layer_normalization,
    FixedBatchNormalization: fixed_batch_normalization,
    BatchNormalization: batch_normalization,
    FixedNormalization: fixed_normalization,
    ScaleShift: scale_shift,
    GroupNormalization: group_normalization,
    NormalizeL2: normalize_l2,
    LocalResponseNormalization: local_response_normalization,
}
