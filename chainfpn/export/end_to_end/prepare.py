"""From an image of 0..255 to the batch of one that the network looks at, in a graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainfpn.export.graph import Graph, Tensor
from chainfpn.export.trace import ExportError
from chainfpn.links.detectors.preprocess import Preprocess


class Prepared(NamedTuple):
    """An image, prepared.

    Attributes:
        x (Tensor): (1, 3, H', W').
        image_size (Tensor): Height and width of the image, int64, (2,).
        size (Tensor): Those of the resized image.
        padded (Tensor): Those of the batch.
    """

    x: Tensor
    image_size: Tensor
    size: Tensor
    padded: Tensor


def prepare(graph: Graph, preprocess: Any) -> Prepared:
    """Declare the input ``image``, and normalize, resize and pad it as :class:`~chainfpn.links.Preprocess` does.

    Args:
        graph (Graph): The graph.
        preprocess (Preprocess): The numbers.

    Returns:
        Prepared: The batch.

    Raises:
        ExportError: if the preprocess is another.
    """
    if type(preprocess) is not Preprocess:
        got = f"got a {type(preprocess).__name__}; to_engine('onnx') runs other rules than torchvision's"
        raise ExportError(f"the preprocess must be a Preprocess to be in the file, {got}")
    img = graph.input("image", "float32", (3, "height", "width"))
    image_size = img.shape(1)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (preprocess.mean, preprocess.std))
    if preprocess.channel_order == "BGR":
        img = img.gather([2, 1, 0])
    x = ((img / 255.0 - mean) / std).unsqueeze(0)
    size = _resized_size(image_size, preprocess)
    shape = graph.concat([[1, 3], size])
    x = graph.op("Resize", x, None, None, shape, mode="linear", coordinate_transformation_mode="half_pixel")
    multiple = np.int64(preprocess.size_divisible)
    padded = (size + (multiple - 1)) / multiple * multiple
    x = graph.op("Pad", x, graph.concat([[0] * 6, padded - size]), 0.0, mode="constant")
    return Prepared(x, image_size, size, padded)


def _resized_size(size, preprocess):
    """See :meth:`Preprocess.resized_size`, whose scale is a float32 product with a reciprocal."""
    graph = size.graph
    if preprocess.fixed_size is not None:
        return graph.constant(np.array(preprocess.fixed_size, np.int64))
    sides = preprocess.min_size
    min_size = sides if np.isscalar(sides) else sides[-1]
    pair = [size.gather([axis]).cast(np.float32) for axis in (0, 1)]  # OpenVINO reduces a shape to another number
    factors = [  # not 1 / x times a limit, which ONNX Runtime turns into limit / x: another number in float32
        graph.op("Reciprocal", graph.op(kind, *pair)) * float(limit)
        for kind, limit in (("Min", min_size), ("Max", preprocess.max_size))
    ]
    scaled = size.cast(np.float64) * graph.op("Min", *factors).cast(np.float64)
    return graph.op("Max", graph.op("Floor", scaled), 1.0).cast(np.int64)
