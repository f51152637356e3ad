"""Losses of SSD where an image has more boxes with an object than there is background to go with them."""

import chainer
import numpy as np
import pytest

from chainfpn.links import SSD

THEIRS = """
from types import SimpleNamespace
from torchvision.models.detection import _utils, ssd
anchors, bbox = (torch.from_numpy(inputs[name][:, [1, 0, 3, 2]]) for name in ("anchors", "bbox"))
logits, deltas = (torch.from_numpy(inputs[name]).requires_grad_() for name in ("logits", "deltas"))
settings = SimpleNamespace(box_coder=_utils.BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3.0)
matched = _utils.SSDMatcher(0.5)(torchvision.ops.box_iou(bbox, anchors))
losses = ssd.SSD.compute_loss(
    settings,
    [{"boxes": bbox, "labels": torch.from_numpy(inputs["label"]).long() + 1}],
    {"bbox_regression": deltas, "cls_logits": logits},
    [anchors],
    [matched],
)
sum(losses.values()).backward()
outputs["n_positive"] = (matched >= 0).sum()
outputs.update({"class": losses["classification"], "box": losses["bbox_regression"], "gradient": logits.grad})
"""


@pytest.mark.parametrize("n_anchor", [7, 11, 20], ids=["too few", "one too few", "enough"])
def test_they_are_torchvisions(torchvision_live, n_anchor):
    random = np.random.default_rng(n_anchor)
    corner = np.arange(n_anchor)[:, None] * np.float32([20, 0])
    anchors = np.concatenate((corner, corner + np.float32(16)), axis=1)  # one below the other
    bbox = anchors[[0, 2, 5]] + np.float32([0, 0, 2, 1])  # three boxes with an object
    label = np.array([0, 2, 1], np.int32)
    logits = random.normal(0, 2, (1, n_anchor, 4)).astype(np.float32)
    deltas = random.normal(0, 1, (1, n_anchor, 4)).astype(np.float32)
    theirs = torchvision_live.run(THEIRS, anchors=anchors, bbox=bbox, label=label, logits=logits, deltas=deltas)
    assert theirs["n_positive"] == 3
    x = chainer.Variable(logits)
    losses = SSD(None, None, None, n_fg_class=3).compute_loss(
        [x], [chainer.Variable(deltas)], [anchors], [bbox], [label + 1]
    )
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert float(loss.array) == pytest.approx(float(theirs[name]), rel=1e-5)
    np.testing.assert_allclose(x.grad, theirs["gradient"], atol=1e-6)
