"""Each function that has a translation, alone in a chain of its own; and what those have that have none."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import onnx
import onnxruntime
import pytest
from chainer.functions.activation.relu import ReLU

from chainfpn.export import ExportError
from chainfpn.export.dense import array_names, dense_graph, parts_of
from chainfpn.functions import adaptive_avg_pool_2d, resize_bilinear, resize_nearest, scale_shift
from chainfpn.functions._gelu import gelu
from chainfpn.links import LayerNormalization
from chainfpn.links.pointwise import Pointwise
from reference.classifier_answers import difference
from reference.seeded_weights import fill_link, seeded_input

FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "hard_sigmoid": F.hard_sigmoid,
    "gelu": gelu,
    "softplus": lambda x: F.softplus(x, beta=2.0),
    "softmax": F.softmax,
    "log_softmax": F.log_softmax,
    "exp": F.exp,
    "log": lambda x: F.log(F.absolute(x) + 1),
    "sqrt": lambda x: F.sqrt(F.square(x)),
    "clip": lambda x: F.clip(x, -1.0, 0.5),
    "power and constants": lambda x: 1 - (2 / (x**2 + 3)) - x * 4 + (-x),
    "subtract and divide": lambda x: (x - F.relu(x)) / (F.relu(x) + 2),
    "three terms": lambda x: F.add(x, F.relu(x), F.tanh(x)),
    "maximum, minimum": lambda x: F.maximum(x, F.minimum(x * 2, x + 1)),
    "mean": lambda x: F.mean(x, axis=(2, 3)),
    "mean of all": F.mean,
    "sum": lambda x: F.sum(x, axis=1, keepdims=True),
    "max": lambda x: F.max(x, axis=(1, 2)),
    "min": lambda x: F.min(x, axis=3),
    "matmul": lambda x: F.matmul(x, x, transb=True),
    "normalize": lambda x: F.normalize(x, axis=1),
    "scale": lambda x: F.scale(x, np.array([1, 2, 3], "f")),
    "bias before": lambda x: F.broadcast_to(F.mean(x, axis=(2, 3), keepdims=True), x.shape) + F.relu(x),
    "broadcast at last": lambda x: F.broadcast_to(F.mean(x, axis=(2, 3), keepdims=True), x.shape),
    "scale_shift": lambda x: scale_shift(x, np.array([1, 2, 3], "f"), np.array([0.5, -1, 2], "f")),
    "reshape": lambda x: F.reshape(x, (len(x), -1)),
    "reshape to another's shape": lambda x: F.reshape(F.reshape(x, (-1,)), x.shape),
    "transpose": lambda x: F.transpose(x, (0, 3, 1, 2)),
    "turned over": F.transpose,
    "concat": lambda x: F.concat((x, F.relu(x)), axis=2),
    "split": lambda x: F.concat(F.split_axis(x, [1], axis=1)[::-1], axis=1),
    "squeeze": lambda x: F.squeeze(F.expand_dims(x, 2), axis=2),
    "item": lambda x: x[:, 1, 2:, 1:-1:2],
    "pad": lambda x: F.pad(x, ((0, 0), (0, 0), (0, 2), (1, 0)), "constant"),
    "cast": lambda x: F.cast(F.cast(x, "d"), "f"),
    "max_pooling, incomplete": lambda x: F.max_pooling_2d(x, 3, stride=2),
    "max_pooling, padded": lambda x: F.max_pooling_2d(x, 3, stride=2, pad=1, cover_all=True),
    "average_pooling": lambda x: F.average_pooling_2d(x, 3, stride=2, pad=1),
    "unpooling": lambda x: F.unpooling_2d(x, 2, cover_all=False),
    "unpooling to a map": lambda x: x + F.unpooling_2d(F.max_pooling_2d(x, 2), 2, outsize=x.shape[2:]),
    "upsampling": lambda x: _unpooled(x),
    "resize_images": lambda x: F.resize_images(F.max_pooling_2d(x, 3), x.shape[2:]),
    "resize_images, half pixels": lambda x: F.resize_images(x, (9, 7), align_corners=False),
    "resize_nearest": lambda x: resize_nearest(F.max_pooling_2d(x, 2), x.shape[2:]),
    "resize_bilinear": lambda x: resize_bilinear(F.max_pooling_2d(x, 3), x.shape[2:]),
    "resize_bilinear, twice": lambda x: resize_bilinear(x, (2 * x.shape[2], 2 * x.shape[3])),
    "resize_bilinear, corners": lambda x: resize_bilinear(x, (9, 7), align_corners=True),
    "adaptive_avg_pool_2d": lambda x: adaptive_avg_pool_2d(x, (7, 4)),
    "lrn": F.local_response_normalization,
    "lrn, an even number": lambda x: F.local_response_normalization(x, n=2),
    "crelu": F.crelu,
    "identity": lambda x: F.concat(F.identity(x, F.relu(x))),
    "linear_interpolate": lambda x: F.linear_interpolate(F.sigmoid(x), x, F.relu(x)),
    "sin, cos, arctan, erf": lambda x: F.sin(x) + F.cos(x) + F.arctan(x) + F.erf(x),
    "prod, logsumexp": lambda x: F.prod(x, axis=1) + F.logsumexp(x, axis=1),
    "powers": lambda x: F.relu(x) ** F.sigmoid(x) + 2**x,
    "argmax": lambda x: F.argmax(x, axis=1),
    "where": lambda x: F.where(np.array([True, False, True])[:, None, None], x[0], x[-1]),
    "einsum": lambda x: F.einsum("b...hw,bchw->bch", x[:, 0], x),
    "lstm": lambda x: F.lstm(np.zeros((len(x), 2), "f"), F.reshape(F.mean(x, axis=3)[:, :, :8], (len(x), -1))[:, :8]),
    "swapaxes": lambda x: F.swapaxes(x, 1, 3),
    "moveaxis, rollaxis": lambda x: F.rollaxis(F.moveaxis(x, 1, -1), 2),
    "transpose from behind": lambda x: F.transpose(x, (0, -1, 1, 2)),
    "flips": lambda x: F.flip(F.fliplr(F.flipud(x)), 3),
    "stack, separate": lambda x: F.stack(F.separate(x, axis=1)[::-1], axis=-1),
    "tile": lambda x: F.tile(F.tile(x, (2, 1)), (2, 1, 1, 1, 1)),
    "broadcast": lambda x: F.concat(F.broadcast(x, F.mean(x, axis=1, keepdims=True)), axis=1),
    "broadcast, sides of axes": lambda x: F.broadcast_to(
        F.mean(x, axis=(2, 3)), (x.shape[3], x.shape[2], *x.shape[:2])
    ),
    "depth2space": lambda x: F.depth2space(F.concat([x, x, x, F.relu(x)], axis=1), 2),
    "space2depth": lambda x: F.space2depth(F.depth2space(F.concat([x, x, x, F.relu(x)], axis=1), 2)[:, :, ::-1], 2),
    "zeros of the size": lambda x: F.concat([x, np.zeros((len(x), 1, *x.shape[2:]), "f")], axis=1),
    "reshape, products": lambda x: F.reshape(x, (x.shape[0] * 3, x.shape[2] * x.shape[3])),
    "reshape, moved": lambda x: F.reshape(F.concat([x, x], axis=1), (len(x), 3, 2, *x.shape[2:])),
    "reshape, back": lambda x: F.reshape(F.reshape(x, (-1, 3, 1)), (*x.shape, 1)),
    "first and last": lambda x: x[..., -1][None, :, np.int64(1), ::-1],
    "backwards": lambda x: x[:, :, 10:2:-2],
    "list of places": lambda x: x[:, [2, 0]],
    "cut to a map": lambda x: _cut(x),
    "split, one of both": lambda x: F.split_axis(x, [2], axis=-1)[1],
    "pad, a number": lambda x: F.pad(x, ((0, 0), (0, 0), (0, 2), (1, 0)), "constant", constant_values=2.0),
    "pad, mirrored": lambda x: F.pad(F.pad(x, ((0, 0), (0, 0), (3, 2), (1, 0)), "reflect"), 1, "edge"),
    "average_pooling_nd": lambda x: F.average_pooling_nd(x, (3, 2), stride=2, pad=1, pad_value=None),
    "average of the map": lambda x: F.average_pooling_2d(x, x.shape[2:]),
    "maximum of the map": lambda x: F.max_pooling_2d(x, x.shape[2:]),
    "max_pooling, one in two": lambda x: F.max_pooling_2d(x, 1, stride=2, pad=1),
    "resize_images, factors": lambda x: F.resize_images(x, (2 * x.shape[2], 3 * x.shape[3])),
    "no gradients": lambda x: _without_gradients(x),
}


def _cut(x):
    h = F.max_pooling_2d(x, 3, stride=1)
    return x[:, :, : h.shape[2], : h.shape[3]] + h


def _without_gradients(x):
    with chainer.no_backprop_mode():
        h = F.relu(x)
    return F.tanh(h)


def _unpooled(x):
    pooled, indices = F.max_pooling_2d(x, 2, stride=2, return_indices=True)
    return F.upsampling_2d(F.tanh(pooled), indices, 2, stride=2, outsize=x.shape[2:])


#: Layers, each alone.
LINKS = {
    "convolution": lambda: L.Convolution2D(3, 4, (3, 5), stride=(2, 1), pad=(0, 2)),
    "dilated": lambda: L.DilatedConvolution2D(3, 4, 3, pad=2, dilate=2),
    "grouped": lambda: L.Convolution2D(3, 6, 3, groups=3, nobias=True),
    "deconvolution": lambda: L.Deconvolution2D(3, 4, 3, stride=2, pad=1),
    "group normalization": lambda: L.GroupNormalization(3, 3),
    "layer normalization": lambda: LayerNormalization(3),
    "over the channels of pixels": lambda: Pointwise(3, 4),
    "convolution, batch normalization": lambda: chainer.Sequential(L.Convolution2D(3, 4, 1), L.BatchNormalization(4)),
    "deconvolution, batch normalization": lambda: chainer.Sequential(
        L.Deconvolution2D(3, 4, 2), L.BatchNormalization(4)
    ),
    "deconvolution to a map": lambda: _Deconvolved(),
    "convolution and deconvolution, nd": lambda: chainer.Sequential(
        L.ConvolutionND(2, 3, 4, 3, pad=1, groups=1), L.DeconvolutionND(2, 4, 3, (3, 2), stride=2)
    ),
    "batch normalization": lambda: L.BatchNormalization(3),
    "prelu": lambda: chainer.Sequential(L.PReLU((3,)), L.PReLU()),
    "layer normalization of rows": lambda: chainer.Sequential(
        lambda x: F.mean(x, axis=(2, 3)), L.LayerNormalization(3)
    ),
    "linear, of pixels": lambda: _OfPixels(),
    "linear": lambda: chainer.Sequential(lambda x: F.mean(x, axis=(2, 3)), L.Linear(3, 5), L.BatchNormalization(5)),
    "one branch normalized": lambda: _Branches(),
}


class _Deconvolved(L.Deconvolution2D):
    """A transposed convolution to the size of the map that a strided convolution came from."""

    def __init__(self):
        super().__init__(3, 4, 3)

    def forward(self, x):
        h = F.max_pooling_2d(x, 3, stride=3, cover_all=False)
        return F.deconvolution_2d(h, self.W, self.b, stride=3, outsize=x.shape[2:])


class _OfPixels(L.Linear):
    """A linear layer over the channels, which are last."""

    def __init__(self):
        super().__init__(3, 4)

    def forward(self, x):
        return super().forward(F.moveaxis(x, 1, 3), n_batch_axes=3)


class _Branches(chainer.Chain):
    """A convolution whose output is needed as it is, and normalized."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv, self.bn = L.Convolution2D(3, 4, 3), L.BatchNormalization(4)

    def forward(self, x):
        h = self.conv(x)
        return h, self.bn(h)


class Chain(chainer.Chain):
    """A chain of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def check(chain):
    """Compare the chain with its file, at a size that was not traced."""
    fill_link(chain)
    (part,) = parts_of(chain, sizes=((18, 23), (29, 32))).values()
    proto = dense_graph(part, array_names(chain)).model("chain", {})
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = seeded_input(3, 3, 21, 26)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        expected = part.function(chainer.Variable(x))
    for name, y in zip(expected, session.run(None, {"x": x}), strict=True):
        assert y.shape == expected[name].shape
        assert y.dtype == expected[name].dtype
        at = np.isfinite(expected[name].array)  # a window of padding alone has no largest number
        np.testing.assert_array_equal(y[~at], expected[name].array[~at])
        assert difference(y[at], expected[name].array[at]) < 1e-5
    return proto


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    check(Chain(FUNCTIONS[name]))


@pytest.mark.parametrize("name", LINKS)
def test_links(name):
    check(LINKS[name]())


def test_normalization_stays_where_the_convolution_is_needed_as_it_is():
    kinds = [node.op_type for node in check(_Branches()).graph.node]
    assert kinds.count("Conv") == kinds.count("BatchNormalization") == 1


def repeated(x):
    return F.repeat(x, 2, axis=2)


def _cut_off(x):
    h = F.relu(x)
    h.unchain_backward()
    return F.tanh(h)


class _Leaky(ReLU):
    """What is derived from a known function, and computes another."""

    def forward_cpu(self, inputs):
        return (np.maximum(inputs[0], -1),)


#: What cannot be written, and the sentence.
REFUSED = {
    "unknown": (repeated, "there is no translation to ONNX of the function Repeat"),
    "derived": (lambda x: _Leaky().apply((x,))[0], "there is no translation to ONNX of the function _Leaky"),
    "array": (lambda x: x + x.array.mean(), "value of AddConstant depends on the size of the image"),
    "detached": (lambda x: x + chainer.Variable(x.array * 2), "computed outside of functions"),
    "weights": (lambda x: F.convolution_2d(x, x[:1, :, :2, :2]), "weights that are computed from the image have no"),
    "depends on size": (lambda x: F.relu(x) if x.shape[2] > 20 else x, "functions that are called depend on the size"),
    "size from nowhere": (lambda x: resize_bilinear(x, (x.shape[2] + 5, 9)), "the shape .* follows from the size"),
    "shape from nowhere": (
        lambda x: F.reshape(x[:, :1], (len(x) * x.shape[3], -1, 1)),
        "the shape .* follows from the",
    ),
    "range from nowhere": (lambda x: x[:, :, : x.shape[2] // 2], "a range of indices depends on the size of the image"),
    "place from nowhere": (lambda x: x[:, :, x.shape[2] // 2], "an index depends on the size of the image"),
    "window from nowhere": (
        lambda x: F.max_pooling_2d(x, x.shape[2] // 2),
        "ksize of MaxPoolingND depends on the size",
    ),
    "no variable": (lambda x: x.array, "output y is a ndarray, not a Variable"),
    "two lists": (lambda x: F.max_pooling_2d(x, 2)[[0], [1]], "indexing with masks, or with a list beside other"),
    "mask": (lambda x: x[:, np.array([True, False, True])], "indexing with masks"),
    "padding by the mean": (lambda x: F.pad(x, 1, "mean"), "padding by mean has no translation"),
    "padding by several": (
        lambda x: F.pad(x, 1, "constant", constant_values=(1, 2)),
        "by constant, several constant_va",
    ),
    "axes of side 1": (lambda x: F.squeeze(x[:, :1]), "which axes have side 1 depends on the size of the image"),
    "separated": (lambda x: F.separate(x, axis=0)[0], "functions that are called depend on the size"),
    "argmax of all": (F.argmax, "F.argmax over all axes has no ONNX operator"),
    "lstm of maps": (lambda x: F.lstm(x[:, :1], F.concat([x, x], axis=1)[:, :4]), "an LSTM over maps, or"),
    "name of the input": (lambda x: {"x": F.relu(x)}, "an output must have another name than the input, x"),
    "no name": (lambda x: {0: F.relu(x)}, "names of outputs must be str, got 0"),
    "cut off": (lambda x: _cut_off(x), "the chain cuts what it has computed off"),
    "training": (lambda x: F.batch_normalization(x, *np.ones((2, 3), "f")), "belongs to training"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_translation_is_named(name):
    function, sentence = REFUSED[name]
    with pytest.raises(ExportError, match=sentence):
        check(Chain(function))


def test_a_function_that_nothing_needs_is_no_obstacle():
    def function(x):
        repeated(x)
        return F.relu(x)

    assert [node.op_type for node in check(Chain(function)).graph.node] == ["Relu", "Identity"]
