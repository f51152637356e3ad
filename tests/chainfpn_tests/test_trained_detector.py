"""A detector that torchvision trained gives torchvision's boxes, and its accuracy."""

import numpy as np
import pytest
from chainercv.utils import read_image

import weights_convert
from chainfpn import models
from reference.pedestrians import average_precision, torchvision_result

PHOTOS = ("000456.jpg", "astronaut.png", "chelsea.png", "coffee.png", "dog.jpg", "person.jpg")
META = {"label_names": ["person"], "min_size": 368, "max_size": 512}

#: Builds the detector as its description says, and runs it on every photograph.
LIVE = """
    from torchvision.models.detection import FasterRCNN, backbone_utils, faster_rcnn
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

    trunk = torchvision.models.resnet18(norm_layer=FrozenBatchNorm2d)
    stages = {f"layer{i + 1}": str(i) for i in range(3)}
    model = FasterRCNN(
        backbone_utils.BackboneWithFPN(trunk, stages, [64, 128, 256], 128),
        rpn_anchor_generator=AnchorGenerator(((32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 4),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2),
        box_head=faster_rcnn.TwoMLPHead(128 * 49, 256),
        box_predictor=faster_rcnn.FastRCNNPredictor(256, 2),
        min_size=368,
        max_size=512,
    )
    state = torch.load(str(inputs["weights"]), map_location="cpu")
    model.load_state_dict(state)
    model.eval()
    for name, image in inputs.items():
        if name != "weights":
            with torch.no_grad():
                (found,) = model([torch.from_numpy(image) / 255])
            for key, value in found.items():
                outputs[f"{name}/{key}"] = value
"""


@pytest.fixture(scope="module")
def checkpoint(shared_data):
    return shared_data / "weights" / "fasterrcnn_resnet18_c4_fpn128_person.pth"


@pytest.fixture(scope="module")
def detector(checkpoint, tmp_path_factory):
    """The detector in float32, through a file."""
    path = tmp_path_factory.mktemp("weights") / "person.npz"
    weights_convert.convert(checkpoint, path, meta=META)
    return models.load(path)


def test_boxes_are_those_of_live_torchvision(detector, checkpoint, shared_data, torchvision_live):
    images = {name: read_image(shared_data / "photos" / name) for name in PHOTOS}
    live = torchvision_live.run(LIVE, weights=np.array(str(checkpoint)), **images)
    detector.use_preset("evaluate")
    n_detections = 0
    for name, image in images.items():
        (bbox,), (label,), (score,) = detector.predict([image])
        expected = live[f"{name}/boxes"][:, [1, 0, 3, 2]]
        assert len(bbox) == len(expected), name
        np.testing.assert_array_equal(label, live[f"{name}/labels"] - 1)
        np.testing.assert_allclose(bbox, expected, rtol=0, atol=0.05)
        np.testing.assert_allclose(score, live[f"{name}/scores"], rtol=0, atol=1e-4)
        n_detections += len(bbox)
    assert n_detections > 20


@pytest.mark.thorough
def test_average_precision_is_torchvisions(detector, shared_data):
    ap, n_pedestrians, n_detections = average_precision(detector, shared_data)
    expected = torchvision_result(shared_data)
    assert ap == pytest.approx(expected[0], abs=0.005)
    assert (n_pedestrians, n_detections) == expected[1:]
