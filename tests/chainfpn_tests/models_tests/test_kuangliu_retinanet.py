"""kuangliu's RetinaNet against the same network and rules in plain torch, from a checkpoint as his training saves."""

import chainer
import numpy as np
import pytest

import weights_convert
from chainfpn import models
from chainfpn.boxes import KuangliuAnchorGenerator
from reference.photographs import photographs
from reference.random_networks import RANDOM_NETWORKS

SIZE = 150

#: The network, its anchors, and how he decodes: one anchor after the other, sides counted in whole pixels.
CODE = """
import math
import torch.nn as nn
import torch.nn.functional as F

class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        trunk = torchvision.models.resnet50()
        for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
            setattr(self, name, getattr(trunk, name))
        for i, n in ((1, 2048), (2, 1024), (3, 512)):
            setattr(self, f"latlayer{i}", nn.Conv2d(n, 256, 1))
        self.toplayer1, self.toplayer2 = nn.Conv2d(256, 256, 3, 1, 1), nn.Conv2d(256, 256, 3, 1, 1)
        self.conv6, self.conv7 = nn.Conv2d(2048, 256, 3, 2, 1), nn.Conv2d(256, 256, 3, 2, 1)
    def forward(self, x):
        c2 = self.layer1(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        p6 = self.conv6(c5)
        p7 = self.conv7(F.relu(p6))
        up = lambda p, c: F.interpolate(p, size=c.shape[2:], mode="bilinear", align_corners=True) + c
        p5 = self.latlayer1(c5)
        p4 = self.toplayer1(up(p5, self.latlayer2(c4)))
        p3 = self.toplayer2(up(p4, self.latlayer3(c3)))
        return p3, p4, p5, p6, p7

class Net(nn.Module):
    def __init__(self, n_class):
        super().__init__()
        self.n_class, self.fpn = n_class, Pyramid()
        self.loc_head, self.cls_head = self.head(36), self.head(9 * n_class)
    def head(self, n_out):
        layers = [layer for _ in range(4) for layer in (nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU())]
        return nn.Sequential(*layers, nn.Conv2d(256, n_out, 3, 1, 1))
    def forward(self, x):
        rows = lambda h, n: h.permute(0, 2, 3, 1).reshape(len(x), -1, n)
        hs = self.fpn(x)
        return (torch.cat([rows(self.loc_head(h), 4) for h in hs], 1),
                torch.cat([rows(self.cls_head(h), self.n_class) for h in hs], 1))

def anchors(size):
    rows = []
    for level, area in enumerate((32.0**2, 64.0**2, 128.0**2, 256.0**2, 512.0**2)):
        n = math.ceil(size / 2 ** (level + 3))
        for i in range(n):
            for j in range(n):
                for ratio in (1 / 2, 1, 2):
                    h = math.sqrt(area / ratio)
                    for scale in (1, 2 ** (1 / 3), 2 ** (2 / 3)):
                        rows.append(((j + 0.5) * size / n, (i + 0.5) * size / n, ratio * h * scale, h * scale))
    return torch.tensor(rows, dtype=torch.float64)

def decode(loc, cls, size):
    anchor = anchors(size)
    xy, wh = loc[:, :2] * anchor[:, 2:] + anchor[:, :2], loc[:, 2:].exp() * anchor[:, 2:]
    score, label = cls.sigmoid().max(1)
    keep = score > 0.5
    boxes, score, label = torch.cat([xy - wh / 2, xy + wh / 2], 1)[keep], score[keep], label[keep]
    order, kept = score.argsort(descending=True).tolist(), []
    side = lambda low, high: max(0.0, float(high - low + 1))
    area = lambda b: side(b[0], b[2]) * side(b[1], b[3])
    for i in order:
        alone = True
        for j in kept:
            a, b = boxes[i], boxes[j]
            both = side(max(a[0], b[0]), min(a[2], b[2])) * side(max(a[1], b[1]), min(a[3], b[3]))
            alone = alone and both / (area(a) + area(b) - both) <= 0.5
        if alone:
            kept.append(i)
    return boxes[kept], score[kept], label[kept]

net = Net(3).eval()
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
    return folder / "ckpt.pth", imgs, x, torchvision_live.run(RANDOM_NETWORKS + CODE, folder=folder, x=x)


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


def test_nothing_found():
    model = models.retinanet_kuangliu(2, image_size=64)
    model.score_thresh = 1.0
    (bbox,), (label,), (score,) = model.predict([photographs()["small"]])
    assert (bbox.shape, label.shape, score.shape) == ((0, 4), (0,), (0,))
