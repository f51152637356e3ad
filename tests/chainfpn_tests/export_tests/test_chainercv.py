"""ChainerCV's own networks are written as well: chains of functions that are known."""

import chainer
import numpy as np
import onnxruntime
import pytest
from chainercv.links import SSD300, FasterRCNNFPNResNet50, FasterRCNNVGG16, SegNetBasic

from chainfpn.export import ExportError, export_onnx
from chainfpn.export.dense import array_names, dense_graph, parts_of
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


def test_a_network_that_crops_where_a_side_is_odd_says_so():
    with pytest.raises(ExportError, match="upsampling to other than what a pooling without padding started"):
        export_onnx(SegNetBasic(n_class=3), "never.onnx")
