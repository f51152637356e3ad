"""kuangliu's RetinaNet against the same network and rules in plain torch, from a checkpoint as his training saves."""

import chainer
import numpy as np
import pytest

import weights_convert
from chainfpn import models
from chainfpn.boxes import KuangliuAnchorGenerator
from reference.detector_cases import HERE
from reference.photographs import photographs
from reference.random_networks import RANDOM_NETWORKS

SIZE = 150

#: The network, trained with an old PyTorch, as his training saves it, and what it finds.
CODE = """
import sys
import torch.nn as nn
sys.path.insert(0, str(inputs["reference"]))
from kuangliu_networks import RetinaNet, anchors, decode

net = RetinaNet(3, align_corners=True).eval()
x = torch.from_numpy(inputs["x"])
with torch.no_grad():
    settle(net, lambda: net(x), 0)
    spread(lambda: net(x), (net.cls_head[8], 1), (net.loc_head[8], 0.3))
    net.cls_head[8].bias -= 3.0
    torch.save({"net": nn.DataParallel(net).state_dict(), "loss": 1.5, "epoch": 3}, folder / "ckpt.pth")
    for dtype in (torch.float32, torch.float64):
        loc, cls = net.to(dtype)(x.to(dtype))
        outputs[f"{dtype} loc"], outputs[f"{dtype} cls"] = loc, cls
    for i in range(len(x)):
        for name, value in zip(("boxes", "scores", "labels"), decode(loc[i], cls[i], x.shape[2])):
            outputs[f"{name}{i}"] = value
    outputs["anchors"] = anchors(x.shape[2])
"""


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory):
    """The checkpoint's path, the photographs, the batch, and what the network in torch makes of it."""
    folder = tmp_path_factory.mktemp("kuangliu")
    imgs = [img for name, img in photographs().items() if name != "landscape"]
    x, _ = models.retinanet_kuangliu(3, image_size=SIZE).prepare(imgs)
    expected = torchvision_live.run(RANDOM_NETWORKS + CODE, folder=folder, x=x, reference=str(HERE))
    return folder / "ckpt.pth", imgs, x, expected


@pytest.fixture(scope="module")
def weights(theirs):
    return theirs[0].with_suffix(".npz"), weights_convert.convert(
        theirs[0], theirs[0].with_suffix(".npz"), meta={"align_corners": True, "image_size": SIZE}
    )


def test_the_checkpoint_is_recognised(weights):
    _, report = weights
    assert (report.layout, report.entry) == ("kuangliu/pytorch-retinanet", "net")
    assert report.model == "retinanet_kuangliu"
    assert report.arguments == {"n_fg_class": 3, "align_corners": True, "image_size": SIZE}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_logits_and_deltas_are_those_of_torch(theirs, weights, dtype, tolerance):
    _, _, x, expected = theirs
    with chainer.using_config("dtype", np.dtype(dtype)), chainer.using_config("train", False):
        model = models.load(weights[0])
        logits, deltas = model.head(model.fpn(x.astype(dtype)))
    for levels, name in ((logits, "cls"), (deltas, "loc")):
        found = np.concatenate([level.array for level in levels], axis=1)
        reference = expected[f"torch.{dtype} {name}"]
        assert found.shape == reference.shape
        assert np.abs(found - reference).max() <= tolerance * np.abs(reference).max()


def test_detections_are_his(theirs, weights):
    """In float64, and not in a batch by itself: every box in order, in pixels of the square that the network sees."""
    _, imgs, x, expected = theirs
    with chainer.using_config("dtype", np.dtype("float64")), chainer.using_config("train", False):
        found = models.load(weights[0])(x.astype("float64"), [(SIZE, SIZE)] * len(imgs))
    for i, (bbox, output, score, *_) in enumerate(found):
        assert len(bbox) == len(expected[f"boxes{i}"]) > 5
        np.testing.assert_allclose(bbox, expected[f"boxes{i}"][:, [1, 0, 3, 2]], atol=1e-2)
        np.testing.assert_array_equal(output, expected[f"labels{i}"])
        np.testing.assert_allclose(score, expected[f"scores{i}"], atol=1e-8)


def test_predict_gives_boxes_in_pixels_of_the_image(theirs, weights):
    _, imgs, _, expected = theirs
    bboxes, labels, scores = models.load(weights[0]).predict(imgs)
    for i, img in enumerate(imgs):
        assert (bboxes[i].dtype, labels[i].dtype, scores[i].dtype) == (np.float32, np.int32, np.float32)
        assert set(labels[i]) <= {0, 1, 2}
        best = expected[f"boxes{i}"][0][[1, 0, 3, 2]] * np.tile(np.array(img.shape[1:]) / SIZE, 2)
        np.testing.assert_allclose(bboxes[i][0], best, rtol=1e-3, atol=0.1)


def test_anchors_are_his(theirs):
    sizes = [(-(-SIZE // s), -(-SIZE // s)) for s in (8, 16, 32, 64, 128)]
    generator = models.retinanet_kuangliu().anchor_generator
    assert isinstance(generator, KuangliuAnchorGenerator)
    found = np.concatenate(generator(sizes, (SIZE, SIZE), np))
    x, y, w, h = theirs[3]["anchors"].T
    expected = np.stack((y - h / 2, x - w / 2, y + h / 2, x + w / 2), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.dtype("float16"), chainer.mixed16])
def test_half_precision(dtype):
    with chainer.using_config("dtype", dtype):
        model = models.retinanet_kuangliu(2, image_size=64)
        model.score_thresh = 0.0
        (bbox,), (label,), (score,) = model.predict([photographs()["small"]])
    assert len(bbox) == len(label) == len(score) > 0
    assert np.isfinite(bbox).all()


def test_nothing_found_and_corners_that_stay():
    model = models.retinanet_kuangliu(2, image_size=64, align_corners=True)
    assert model.align_corners is model.fpn.align_corners is True
    with pytest.raises(AttributeError, match="KuangliuRetinaNet: align_corners must be set by the constructor"):
        model.align_corners = False
    model.score_thresh = 1.0
    (bbox,), (label,), (score,) = model.predict([photographs()["small"]])
    assert (bbox.shape, label.shape, score.shape) == ((0, 4), (0,), (0,))
