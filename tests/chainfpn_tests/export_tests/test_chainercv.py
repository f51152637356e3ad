"""ChainerCV's own networks are written as well: chains of functions that are known."""

import chainer
import chainer.functions as F
import numpy as np
import onnxruntime
import pytest
from chainercv.links import SSD300, FasterRCNNFPNResNet50, FasterRCNNVGG16, SegNetBasic

from chainfpn import links
from chainfpn.errors import InvalidArgument
from chainfpn.export import ExportError, export_onnx
from chainfpn.export.dense import array_names, dense_graph, parts_of
from chainfpn.export.file import onnx_models
from reference.classifier_answers import difference, without_initial_values
from reference.seeded_weights import fill_link, seeded_input

#: Name to how it is made, and the size of an image that was not traced.
NETWORKS = {
    "SSD300": (lambda: SSD300(n_fg_class=3), (300, 300)),
    "FasterRCNNVGG16": (lambda: FasterRCNNVGG16(n_fg_class=3).extractor, (83, 101)),
    "FasterRCNNFPNResNet50": (lambda: FasterRCNNFPNResNet50(n_fg_class=3).extractor, (128, 192)),
    "SegNetBasic": (lambda: SegNetBasic(n_class=3), (96, 128)),
}
#: Sizes they are traced at, where not every size will do.
SIZES = {
    "SSD300": ((300, 300), (331, 357)),
    "FasterRCNNFPNResNet50": ((128, 160), (192, 224)),
    "SegNetBasic": ((160, 224), (256, 288)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_chain(name):
    make, size = NETWORKS[name]
    with without_initial_values():
        chain = make()
        with chainer.no_backprop_mode():
            chain(seeded_input(1, 3, *size))  # layers learn their numbers of channels
    fill_link(chain)
    (part,) = parts_of(chain, sizes=SIZES.get(name)).values()
    proto = dense_graph(part, array_names(chain)).model(name, {})
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = seeded_input(1, 3, *size)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        expected = part.function(x)
    outputs = session.run(None, {"x": x})
    for y, variable in zip(outputs, expected.values(), strict=True):
        assert y.dtype == np.float32
        assert difference(y, variable.array) < 1e-4


@pytest.mark.slow
def test_what_is_dense_in_chainercvs_faster_rcnn():
    with without_initial_values():
        model = FasterRCNNVGG16(n_fg_class=3, min_size=64, max_size=96)
        model.head.fc6, model.head.fc7 = links.Linear(512 * 49, 8), links.Linear(8, 8)
        model.head.cls_loc, model.head.score = links.Linear(8, 16), links.Linear(8, 4)
        with chainer.no_backprop_mode(), chainer.using_config("train", False):
            model(seeded_input(1, 3, 64, 64))  # layers learn their numbers of channels
    fill_link(model)
    protos = onnx_models(model)
    image, box = (
        onnxruntime.InferenceSession(protos[name].SerializeToString(), providers=["CPUExecutionProvider"])
        for name in ("image", "box")
    )
    x = seeded_input(1, 3, 83, 101)
    h, logits, deltas = image.run(["map", "logits", "deltas"], {"x": x})
    rois, roi_indices = np.array([[0, 0, 60, 50], [20, 10, 80, 100]], np.float32), np.zeros(2, np.int32)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        locs, scores, *_ = model.rpn(chainer.Variable(h), x.shape[2:])
        expected = model.head(chainer.Variable(h), rois, roi_indices)
    assert difference(h, model.extractor(x).array) < 1e-4
    assert difference(deltas.transpose(0, 2, 3, 1).reshape(locs.shape), locs.array) < 1e-4
    assert difference(logits.transpose(0, 2, 3, 1).reshape(scores.shape), scores.array) < 1e-4
    indexed = np.concatenate([roi_indices[:, None], rois[:, [1, 0, 3, 2]]], axis=1).astype(np.float32)
    pooled = F.roi_pooling_2d(h, indexed, 7, 7, 1 / 16).array
    for y, variable in zip(box.run(["deltas", "logits"], {"pooled": pooled}), expected, strict=True):
        assert difference(y, variable.array) < 1e-4
    with pytest.raises(InvalidArgument, match="form must be dense for what is no detector"):
        onnx_models(model, form="end_to_end")


@pytest.mark.slow
def test_a_network_that_crops_where_a_side_is_odd_says_so():
    with pytest.raises(ExportError, match="upsampling to other than what a pooling without padding started"):
        export_onnx(SegNetBasic(n_class=3), "never.onnx")
