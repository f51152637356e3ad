"""Pooling and resizing of maps, to sizes that follow from the image's."""

import math

import numpy as np
from chainer.functions.array.resize_images import ResizeImages
from chainer.functions.pooling.average_pooling_2d import AveragePooling2D
from chainer.functions.pooling.average_pooling_nd import AveragePoolingND
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND
from chainer.functions.pooling.unpooling_2d import Unpooling2D
from chainer.functions.pooling.upsampling_2d import Upsampling2D

from chainfpn.export.trace import ExportError
from chainfpn.export.translate import Site, Translated
from chainfpn.functions._linear_map import LinearMap


def max_pooling(site: Site) -> Translated:
    """Take the maximum of windows; where one may lie in the padding, or begin behind the map, that is written out."""
    f, x = site.function, site.tensor()
    if _is_whole(site, ["ksize"], ["pad"]) and not f.return_indices:
        return site.graph.op("GlobalMaxPool", x)
    ksize, stride, pad = (site.same(name) for name in ("ksize", "stride", "pad"))
    pads, ceil_mode = [*pad, *pad], f.cover_all
    if f.cover_all and (any(pad) or any(s > k for s, k in zip(stride, ksize, strict=True))):
        behind = [p + s - 1 for p, s in zip(pad, stride, strict=True)]
        x = site.graph.op("Pad", x, [0, 0, *pad, 0, 0, *behind], -math.inf, mode="constant")
        pads, ceil_mode = [0] * len(pads), False
    attributes = {"kernel_shape": [*ksize], "strides": [*stride], "pads": pads, "ceil_mode": int(ceil_mode)}
    if not f.return_indices:
        return site.graph.op("MaxPool", x, **attributes)
    y, site.call.indices = site.graph.multi_op("MaxPool", 2, x, dtype=[x.dtype, np.int64], **attributes)
    return y


def upsampling(site: Site) -> Translated:
    """Put pixels where the maxima of an earlier pooling were."""
    f, pooling = site.function, site.find_call("indexes")
    if pooling is None or pooling.indices is None or pooling.inputs[0].shapes != site.shapes or f.ph or f.pw:
        raise ExportError("upsampling to other than what a pooling without padding started from has no ONNX operator")
    shape = site.of(pooling.inputs[0]).shape()
    zeros = site.graph.op("ConstantOfShape", site.graph.op("ReduceProd", shape, keepdims=1), dtype=np.float32)
    pixels = site.graph.op("ScatterElements", zeros, pooling.indices.reshape(-1), site.tensor().reshape(-1))
    return pixels.reshape(shape)


def average_pooling(site: Site) -> Translated:
    """Take the mean of windows, padding counted as zeros."""
    is_nd = isinstance(site.function, AveragePoolingND)
    names = (["ksize"], ["stride"], ["pad"]) if is_nd else (["kh", "kw"], ["sy", "sx"], ["ph", "pw"])
    if _is_whole(site, names[0], names[2]):
        return site.graph.op("GlobalAveragePool", site.tensor())
    ksize, stride, pad = (np.ravel([site.same(name) for name in group]).tolist() for group in names)
    counts = not is_nd or site.same("pad_value") == 0
    return site.graph.op(
        "AveragePool", site.tensor(), count_include_pad=int(counts), kernel_shape=ksize, strides=stride,
        pads=[*pad, *pad],
    )  # fmt: skip


def _is_whole(site, ksize, pad):
    """Return whether a window is as large as the map, whatever its size."""
    attributes = [
        [tuple(np.ravel([getattr(f, name) for name in names])) for names in (ksize, pad)] for f in site.call.functions
    ]
    shapes = site.call.inputs[0].shapes
    return all(k == s[2:] and not any(p) for (k, p), s in zip(attributes, shapes, strict=True))


def _resize(site, mode, coordinates, **attributes):
    """Resize by a whole factor, or to the size of a map that is there."""
    x, before = site.tensor(), site.call.inputs[0].shapes
    factors = [{site.shapes[run][axis] / before[run][axis] for run in range(2)} for axis in (2, 3)]
    attributes |= {"mode": mode, "coordinate_transformation_mode": coordinates}
    if all(len(each) == 1 and min(each).is_integer() for each in factors):
        scales = np.array([1, 1, *map(min, factors)], np.float32)
        return site.graph.op("Resize", x, None, scales, **attributes)
    sizes = tuple(shape[2:] for shape in site.shapes)
    size = site.graph.concat([x.shape(0, 2), site.shape_of(sizes, start=2)])
    return site.graph.op("Resize", x, None, None, size, **attributes)


def resize_nearest(site: Site) -> Translated:
    """Resize: output pixel i copies input pixel floor(i * in / out)."""
    return _resize(site, "nearest", "asymmetric", nearest_mode="floor")


def resize_bilinear(site: Site) -> Translated:
    """Resize bilinearly."""
    aligned = site.same("options")["align_corners"]
    return _resize(site, "linear", "align_corners" if aligned else "half_pixel")


def resize_images(site: Site) -> Translated:
    """Resize bilinearly, the corners aligned."""
    if site.same("mode") != "bilinear":
        raise ExportError(f"F.resize_images in mode {site.function.mode} has no ONNX operator")
    return _resize(site, "linear", "align_corners" if site.same("align_corners") else "half_pixel")


def adaptive_average(site: Site) -> Translated:
    """Pool to a fixed grid by the mean: a matrix for rows and one for columns, made from the size of the map."""
    x, graph = site.tensor(), site.graph
    rows, columns = (_mean_matrix(graph, x.shape(axis, axis + 1), site.shapes[0][axis]) for axis in (2, 3))
    return graph.op("MatMul", graph.op("MatMul", rows, x), columns.transpose(1, 0))


def _mean_matrix(graph, extent, n):
    """(n, extent): the mean over each window, from floor(i extent / n) to ceil((i + 1) extent / n)."""
    bins = graph.constant(np.arange(n, dtype=np.int64)[:, None])
    first = bins * extent / np.int64(n)
    last = ((bins + np.int64(1)) * extent + np.int64(n - 1)) / np.int64(n)
    at = graph.range(extent.reshape(graph.constant(np.zeros(0, np.int64)))).unsqueeze(0)
    inside = graph.op("And", at >= first, graph.op("Less", at, last, dtype=bool)).cast(np.float32)
    return inside / graph.op("ReduceSum", inside, [1], keepdims=1)


def linear_map(site: Site) -> Translated:
    """Resize, or pool adaptively, by the label of the map."""
    known = {
        "resize_nearest": resize_nearest,
        "resize_bilinear": resize_bilinear,
        "adaptive_avg_pool_2d": adaptive_average,
    }
    if site.function.label not in known:
        raise ExportError(f"there is no translation to ONNX of the function {site.function.label}")
    return known[site.function.label](site)


def unpooling(site: Site) -> Translated:
    """Repeat each pixel."""
    f = site.function
    if (f.kh, f.kw, f.ph, f.pw) != (f.sy, f.sx, 0, 0) or f.sy != f.sx:
        raise ExportError("unpooling with windows that overlap, or with padding, has no ONNX operator")
    factor = np.array([1, 1, f.sy, f.sx], np.float32)
    y = site.graph.op("Resize", site.tensor(), None, factor, mode="nearest", nearest_mode="floor",
                      coordinate_transformation_mode="asymmetric")  # fmt: skip
    whole = tuple(shape[:2] + tuple(side * f.sy for side in shape[2:]) for shape in site.call.inputs[0].shapes)
    if whole == site.shapes:
        return y
    size = site.shape_of(tuple(shape[2:] for shape in site.shapes), start=2)
    return site.graph.op("Slice", y, [0, 0], size, [2, 3])


TRANSLATORS = {
    MaxPoolingND: max_pooling,
    AveragePooling2D: average_pooling,
    AveragePoolingND: average_pooling,
    ResizeImages: resize_images,
    LinearMap: linear_map,
    Unpooling2D: unpooling,
    Upsampling2D: upsampling,
}
