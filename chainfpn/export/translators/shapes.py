"""What changes shapes and leaves numbers alone; sides that follow from the image's are computed in the graph."""

import numpy as np
from chainer.functions.array.broadcast import BroadcastTo
from chainer.functions.array.cast import Cast
from chainer.functions.array.concat import Concat
from chainer.functions.array.expand_dims import ExpandDims
from chainer.functions.array.get_item import GetItem
from chainer.functions.array.pad import Pad
from chainer.functions.array.reshape import Reshape
from chainer.functions.array.split_axis import SplitAxis
from chainer.functions.array.squeeze import Squeeze
from chainer.functions.array.transpose import Transpose

from chainfpn.export.trace import ExportError
from chainfpn.export.translate import Expanded, Site, Translated

#: Behind the end of every axis.
END = 2**31 - 1


def reshape(site: Site) -> Translated:
    """Reshape: sides are constant, or the input's, or one of them is what is left, or all are another tensor's."""
    x, before = site.tensor(), site.call.inputs[0].shapes
    shape = []
    for axis, sides in enumerate(zip(*site.shapes, strict=True)):
        copied = axis < len(before[0]) and sides == tuple(s[axis] for s in before)
        shape.append(0 if copied else sides[0] if len({*sides}) == 1 else -1)
    if shape.count(-1) <= 1:
        return site.graph.op("Reshape", x, shape)
    other = site.shape_of(site.shapes)
    if other is None:
        raise ExportError(f"the shape {site.shapes[0]} follows from the size of the image in a way that is not known")
    return x.reshape(other)


def broadcast_to(site: Site) -> Translated:
    """Broadcast: arithmetic does that by itself."""
    x, shape = site.tensor(), None
    if site.shapes[0] == site.shapes[1]:
        shape = site.graph.constant(np.array(site.shapes[0], np.int64))
    else:
        shape = site.shape_of(site.shapes)
    if shape is None:
        raise ExportError(f"the shape {site.shapes[0]} follows from the size of the image in a way that is not known")
    return Expanded(x, lambda: site.graph.op("Expand", x, shape))


def transpose(site: Site) -> Translated:
    """Change the order of axes."""
    axes = site.same("axes")
    return site.tensor().transpose(*(axes or reversed(range(len(site.shapes[0])))))


def cast(site: Site) -> Translated:
    """Change the dtype; files are in float32."""
    dtype = np.dtype(site.same("type"))
    return site.tensor() if site.call.inputs[0].dtype == dtype else site.tensor().cast(dtype)


def concat(site: Site) -> Translated:
    """Join along an axis."""
    return site.graph.concat(site.tensors(), axis=site.same("axis"))


def split_axis(site: Site) -> Translated:
    """Split an axis at constant places."""
    n = len(site.call.outputs)
    axis = site.same("axis")
    sides = {tuple(v.shapes[run][axis] for v in site.call.outputs if v.shapes[run]) for run in range(2)}
    if len(sides) != 1 or len(next(iter(sides))) != n:
        raise ExportError("an axis that is split depends on the size of the image")
    return site.graph.multi_op("Split", n, site.tensor(), [*sides.pop()], axis=axis)


def expand_dims(site: Site) -> Translated:
    """Add an axis."""
    axis = site.same("axis")
    return site.tensor().unsqueeze(axis if axis >= 0 else axis + len(site.shapes[0]))


def squeeze(site: Site) -> Translated:
    """Take axes of side 1 away."""
    sides = site.call.inputs[0].shapes[0]
    axis = site.same("axis")
    axes = [i for i, side in enumerate(sides) if side == 1] if axis is None else [axis] if np.isscalar(axis) else axis
    return site.graph.op("Squeeze", site.tensor(), [*axes])


def pad(site: Site) -> Translated:
    """Put zeros around."""
    if site.same("mode") != "constant" or site.same("keywords"):
        raise ExportError("padding with other than zeros has no translation to ONNX")
    before, after = np.broadcast_to(site.same("pad_bw"), (len(site.shapes[0]), 2)).T.tolist()
    return site.graph.op("Pad", site.tensor(), [*before, *after], mode="constant")


def get_item(site: Site) -> Translated:
    """Take constant indices and ranges."""
    x, gone = site.tensor(), 0
    slices = site.same("slices")
    if Ellipsis in slices or not all(isinstance(item, int | slice) for item in slices):
        raise ExportError("indexing with more than whole numbers and ranges has no translation to ONNX")
    for axis, item in enumerate(slices):
        if isinstance(item, int):
            x, gone = x.gather(item, axis=axis - gone), gone + 1
        elif item != slice(None):
            bounds = (item.start or 0, END if item.stop is None else item.stop, item.step or 1)
            x = site.graph.op("Slice", x, [bounds[0]], [bounds[1]], [axis - gone], [bounds[2]])
    return x


TRANSLATORS = {
    Reshape: reshape,
    BroadcastTo: broadcast_to,
    Transpose: transpose,
    Cast: cast,
    Concat: concat,
    SplitAxis: split_axis,
    ExpandDims: expand_dims,
    Squeeze: squeeze,
    Pad: pad,
    GetItem: get_item,
}
