"""The dense form of every model: what ONNX Runtime computes is what Chainer computes, at sizes that were not traced."""

import gc
import weakref

import chainer
import chainer.functions as F
import chainer.links as L
import onnx
import onnxruntime
import pytest

from chainfpn import models
from chainfpn.errors import InvalidArgument
from chainfpn.export import ExportError
from chainfpn.export.dense import array_names, dense_graph, parts_of
from chainfpn.links import ConvNeXt, SwinTransformer
from reference import classifier_cases
from reference.classifier_answers import BUILDERS, difference, without_initial_values
from reference.detector_cases import GAINS
from reference.openvino_models import openvino_model
from reference.seeded_weights import fill_link, seeded_input
from reference.small_detectors import small_options

pytestmark = pytest.mark.slow  # whole networks, all of them together

#: Quick ones, and one of each other family; the rest is larger.
QUICK = {"resnet18", "densenet121", "squeezenet1_1", "googlenet", "mobilenet_v2", "mobilenet_v3_small"}
QUICK |= {name for name in models.MODELS if "_resnet_" in name}
SLOW = {"inception_v3", "resnext50_32x4d", "mobilenet_v3_large", "ssdlite320_mobilenet_v3_large"}
SLOW |= {"ssd300_vgg16", "retinanet_kuangliu", "fasterrcnn_mobilenet_v3_large_fpn", "fpn50"}
SLOW |= {"regnet_y_400mf", "efficientnet_b0"}
LARGE = {*models.MODELS} - QUICK - SLOW
MARKS = dict.fromkeys(SLOW, pytest.mark.slow) | dict.fromkeys(LARGE, pytest.mark.exhaustive)
MARKS |= dict.fromkeys(("alexnet", "vgg11", "convnext_tiny", "swin_v2_t"), pytest.mark.thorough)
#: All but the one whose weights have no room in a file of ONNX.
NAMES = [name for name in models.MODELS if name != "regnet_y_128gf"]
ALL = [pytest.param(name, marks=MARKS[name]) if name in MARKS else name for name in NAMES]
#: Quick ones of each kind in OpenVINO; the rest is more of the same.
KINDS = {"squeezenet1_1", "mobilenet_v3_small", "maskrcnn_resnet_fpn"}
OPENVINO = [
    name if name in KINDS else pytest.param(name, marks=MARKS[name] if name in LARGE else pytest.mark.thorough)
    for name in NAMES
]

#: Groups normalized over the two pixels of the coarsest map make a hundred times as much of float32's rounding.
TOLERANCE = 3e-4

#: Operators that what was normalization, ReLU6 and hard sigmoid must not have left behind.
FOLDED = {"resnet18": {"BatchNormalization"}, "mobilenet_v3_small": {"BatchNormalization", "Clip", "Div"}}


def build(name):
    """Build a model with seeded weights, a small one where the builder takes any."""
    small = small_options(name) if "_resnet_" in name else {}
    with without_initial_values():
        model = models.MODELS[name].builder(**small)
    fill_link(model, [*classifier_cases.GAINS.get(BUILDERS.get(name), ()), *GAINS])
    return model


def session_of(proto):
    """Load a file's content into ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def sizes_of(name):
    """Return shapes that were not traced, of one image and of two."""
    if name == "ssd300_vgg16":
        return [(1, 3, 300, 300)]
    if name.startswith("swin"):
        return [(1, 3, 224, 224), (3, 3, 224, 224)]
    return [(1, 3, 203, 170), (2, 3, 128, 161)]


@pytest.mark.parametrize("name", ALL)
def test_every_output_is_chainers(name):
    model = build(name)
    for kind, part in parts_of(model).items():
        proto = compare(model, part, sizes_of(name) if kind == "image" else [(5, *part.shapes[0][1:])])
        assert not FOLDED.get(name, set()) & {node.op_type for node in proto.graph.node}


@pytest.mark.exhaustive
def test_the_largest_has_no_room_in_a_file():
    model = build("regnet_y_128gf")
    with pytest.raises(InvalidArgument, match="weights must be up to 2146435072 bytes"):
        dense_graph(parts_of(model)["image"], array_names(model)).model("model", {})


def compare(model, part, shapes):
    """Compare what ONNX Runtime and Chainer compute; return what the file is made of."""
    proto = dense_graph(part, array_names(model)).model("model", {})
    onnx.checker.check_model(proto, full_check=True)
    session = session_of(proto)
    outputs = [output.name for output in session.get_outputs()]
    for shape in shapes:
        x = seeded_input(*shape)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            expected = part.function(x)
        assert list(expected) == outputs
        for output, y in zip(outputs, session.run(None, {part.input: x}), strict=True):
            assert y.shape == expected[output].shape
            assert difference(y, expected[output].array) < TOLERANCE, (shape, output)
    return proto


@pytest.mark.parametrize("name", OPENVINO)
def test_openvino_computes_every_output(name):
    model = build(name)
    for kind, part in parts_of(model).items():
        run = openvino_model(dense_graph(part, array_names(model)).model("model", {}).SerializeToString())
        x = seeded_input(*(sizes_of(name)[0] if kind == "image" else (5, *part.shapes[0][1:])))
        outputs = run(x)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            for output, expected in part.function(x).items():
                assert difference(outputs[output], expected.array) < TOLERANCE, output


def test_slim_networks_with_layer_normalization():
    """One of each kind; the second's windows are shifted, and padded to."""
    cases = [(ConvNeXt((4, 8), (1, 2), 5), None, (2, 3, 66, 49))]
    cases += [(SwinTransformer(4, (2, 2), (2, 2), 4, 5, v2=v2), ((40, 40), (40, 40)), (3, 3, 40, 40)) for v2 in (0, 1)]
    for model, sizes, shape in cases:
        fill_link(model, [("qkv/W|logit_scale", 0.3)])
        (part,) = parts_of(model, sizes=sizes).values()
        names = {value.name.partition("#")[0] for value in compare(model, part, [shape]).graph.initializer}
        assert any(name.startswith("features/1/0/") and name.endswith("/W") for name in names)


def test_sides_that_follow_from_the_image_are_free():
    """Names stand for what differs, numbers for what does not."""
    part = parts_of(models.fasterrcnn_resnet_fpn(depth=18, n_fg_class=3, fpn_channels=32))["image"]
    graph = dense_graph(part, {}).model("detector", {}).graph
    sides = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert sides["x"] == ["batch", 3, "height", "width"]
    assert sides["map.0"] == ["batch", 32, "map.0 side 2", "map.0 side 3"]
    assert sides["deltas.4"] == ["batch", "deltas.4 side 1", 4]


def test_weights_keep_their_names():
    model = models.resnet18(n_class=5)
    (part,) = parts_of(model).values()
    names = {value.name.partition("#")[0] for value in dense_graph(part, array_names(model)).proto("m").initializer}
    assert {"conv1/W", "layer4/1/conv2/W", "fc/W", "fc/b"} <= names


def test_how_windows_are_cut_depends_on_the_size_which_the_file_says():
    model = SwinTransformer(4, (2,), (2,), 3, 5)
    (part,) = parts_of(model, sizes=((36, 36), (36, 36))).values()
    sides = dense_graph(part, {}).model("m", {}).graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in sides] == ["batch", 3, 36, 36]
    (part,) = parts_of(model, sizes=((36, 36), (48, 60))).values()
    with pytest.raises(ExportError, match=r"the shape .* follows from the size of the image"):
        dense_graph(part, {})


def test_what_a_graph_holds_goes_with_it():
    chain = chainer.Sequential(L.Convolution2D(3, 8, 3), L.BatchNormalization(8), F.relu)
    gc.collect()
    gc.disable()  # memory of a detector's size must not wait for it
    try:
        outside = {}
        dense_graph(parts_of(chain)["image"], array_names(chain)).model("m", {}, outside)
        assert [name.partition("#")[0] for name in outside] == ["0/W"]
        (folded,) = map(weakref.ref, outside.values())
        outside.clear()
        assert folded() is None
    finally:
        gc.enable()
