"""What changes shapes and leaves numbers alone; sides that follow from the image's are computed in the graph."""

import copy
import itertools

import numpy as np
from chainer.functions.array.broadcast import Broadcast, BroadcastTo
from chainer.functions.array.cast import Cast
from chainer.functions.array.concat import Concat
from chainer.functions.array.depth2space import Depth2Space
from chainer.functions.array.expand_dims import ExpandDims
from chainer.functions.array.flip import Flip
from chainer.functions.array.fliplr import FlipLR
from chainer.functions.array.flipud import FlipUD
from chainer.functions.array.get_item import GetItem
from chainer.functions.array.moveaxis import Moveaxis
from chainer.functions.array.pad import Pad
from chainer.functions.array.reshape import Reshape
from chainer.functions.array.rollaxis import Rollaxis
from chainer.functions.array.separate import Separate
from chainer.functions.array.space2depth import Space2Depth
from chainer.functions.array.split_axis import SplitAxis
from chainer.functions.array.squeeze import Squeeze
from chainer.functions.array.stack import Stack
from chainer.functions.array.swapaxes import Swapaxes
from chainer.functions.array.tile import Tile
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
    return x.reshape(site.shape_of(site.shapes))


def broadcast_to(site: Site) -> Translated:
    """Broadcast: arithmetic does that by itself."""
    return broadcast(site)[0]


def broadcast(site: Site) -> list[Expanded]:
    """Broadcast each input to the shape of all."""
    shape = site.shape_of(site.shapes)

    def expanded(x):
        return Expanded(x, lambda: site.graph.op("Expand", x, shape))

    return [expanded(x) for x in site.tensors()]


def transpose(site: Site) -> Translated:
    """Change the order of axes as the function does those of an array of which no two sides are the same."""
    sides = range(2, 2 + len(site.call.inputs[0].shapes[0]))
    x = np.empty(sides, np.float32)
    first, second = (copy.copy(function).forward((x,))[0].shape for function in site.call.functions)
    if first != second:
        raise ExportError("the order of axes depends on the size of the image")
    return site.tensor().transpose(*(side - 2 for side in first))


def flip(site: Site) -> Translated:
    """Turn an axis round."""
    axis = site.same("axis") if isinstance(site.function, Flip) else int(isinstance(site.function, FlipLR))
    return site.graph.op("Slice", site.tensor(), [-1], [-END], [axis], [-1])


def stack(site: Site) -> Translated:
    """Join along a new axis."""
    axis = site.same("axis") % len(site.shapes[0])
    return site.graph.concat([x.unsqueeze(axis) for x in site.tensors()], axis=axis)


def separate(site: Site) -> Translated:
    """Split an axis into its places, and take it away."""
    x, axis = site.tensor(), site.same("axis")
    return [x.gather(i, axis=axis) for i in range(len(site.call.outputs))]


def tile(site: Site) -> Translated:
    """Repeat the whole along axes."""
    x, reps, n = site.tensor(), [*site.same("reps")], len(site.shapes[0])
    new = range(n - len(site.call.inputs[0].shapes[0]))
    x = x.unsqueeze(*new) if new else x
    return site.graph.op("Tile", x, [1] * (n - len(reps)) + reps)


def between_space_and_depth(site: Site) -> Translated:
    """Move blocks of pixels into channels, or channels into blocks of pixels."""
    if isinstance(site.function, Space2Depth):
        return site.graph.op("SpaceToDepth", site.tensor(), blocksize=site.same("r"))
    return site.graph.op("DepthToSpace", site.tensor(), blocksize=site.same("r"), mode="DCR")


def cast(site: Site) -> Translated:
    """Change the dtype; files are in float32."""
    dtype = np.dtype(site.same("type"))
    return site.tensor() if site.call.inputs[0].dtype == dtype else site.tensor().cast(dtype)


def concat(site: Site) -> Translated:
    """Join along an axis."""
    return site.graph.concat(site.tensors(), axis=site.same("axis"))


def split_axis(site: Site) -> Translated:
    """Split an axis at constant places, or into equal parts."""
    x, axis, n = site.tensor(), site.same("axis"), len(site.call.outputs)
    cuts = site.same("indices_or_sections")
    if np.ndim(cuts) == 0:
        return site.graph.multi_op("Split", n, x, axis=axis)
    bounds = itertools.pairwise([0, *map(int, cuts), END])
    return [x.slice(first, last, axis) for first, last in bounds]


def expand_dims(site: Site) -> Translated:
    """Add an axis."""
    axis = site.same("axis")
    return site.tensor().unsqueeze(axis if axis >= 0 else axis + len(site.shapes[0]))


def squeeze(site: Site) -> Translated:
    """Take axes of side 1 away."""
    sides = site.call.inputs[0].shapes[0]
    axis = site.same("axis")
    axes = [i for i, side in enumerate(sides) if side == 1] if axis is None else [axis] if np.isscalar(axis) else axis
    if any(len(shape) != len(sides) - len(axes) for shape in site.shapes):
        raise ExportError("which axes have side 1 depends on the size of the image: name the axes to squeeze")
    return site.graph.op("Squeeze", site.tensor(), [*axes])


def pad(site: Site) -> Translated:
    """Put a number around, or what is at the edge, or the mirror image."""
    mode, keywords = site.same("mode"), dict(site.same("keywords"))
    value = keywords.pop("constant_values", 0)
    if mode not in ("constant", "edge", "reflect") or keywords or np.ndim(value):
        kind = ", ".join([mode, *keywords, *(["several constant_values"] if np.ndim(value) else [])])
        raise ExportError(f"padding by {kind} has no translation to ONNX")
    before, after = np.broadcast_to(site.same("pad_bw"), (len(site.shapes[0]), 2)).T.tolist()
    return site.graph.op("Pad", site.tensor(), [*before, *after], float(value) if value else None, mode=mode)


def get_item(site: Site) -> Translated:
    """Take indices and ranges, whose bounds may be sides."""
    x, axis, n = site.tensor(), 0, len(site.call.inputs[0].shapes[0])
    slices = [f.slices for f in site.call.functions]
    n_taken = sum(item is not None and item is not Ellipsis for item in slices[0])
    lists = [item for item in slices[0] if isinstance(item, list | np.ndarray) and np.ndim(item)]
    others = [item for item in slices[0] if not isinstance(item, slice | type(None) | type(Ellipsis))]
    if (lists and len(others) > 1) or any(np.asarray(item).dtype.kind not in "iu" for item in others):
        raise ExportError("indexing with masks, or with a list beside other indices, has no translation to ONNX")
    for item, second in zip(*slices, strict=True):
        if item is Ellipsis:
            axis += n - n_taken
        elif item is None:
            x, axis = x.unsqueeze(axis), axis + 1
        elif isinstance(item, slice):
            x, axis = _range(site, x, axis, item, second), axis + 1
        elif not np.array_equal(item, second):
            raise ExportError("an index depends on the size of the image")
        else:
            x, axis = x.gather(np.asarray(item).tolist(), axis=axis), axis + np.ndim(item)
    return x


def _range(site, x, axis, item, second):
    """Take a range of an axis; a bound that is not the same in both runs is a side that is known."""
    step = 1 if item.step is None else int(item.step)
    ends = (0, END) if step > 0 else (-1, -END)
    bounds = []
    for name, end in zip(("start", "stop"), ends, strict=True):
        pair = [end if getattr(each, name) is None else int(getattr(each, name)) for each in (item, second)]
        bounds.append(site.side(pair))
    if None in bounds or item.step != second.step:
        raise ExportError("a range of indices depends on the size of the image in a way that is not known")
    if step == 1 and bounds == [[0], [END]]:
        return x
    return site.graph.op("Slice", x, *bounds, [axis], [step])


TRANSLATORS = {
    Reshape: reshape,
    BroadcastTo: broadcast_to,
    Broadcast: broadcast,
    **dict.fromkeys((Transpose, Swapaxes, Moveaxis, Rollaxis), transpose),
    **dict.fromkeys((Flip, FlipLR, FlipUD), flip),
    **dict.fromkeys((Depth2Space, Space2Depth), between_space_and_depth),
    Stack: stack,
    Separate: separate,
    Tile: tile,
    Cast: cast,
    Concat: concat,
    SplitAxis: split_axis,
    ExpandDims: expand_dims,
    Squeeze: squeeze,
    Pad: pad,
    GetItem: get_item,
}
