"""What a detector is trained by unless told otherwise is what torchvision does, detector by detector.

The other tests of training pass options, all of them different from these. What cannot be an option, such as where the
losses of boxes turn from squares into absolute values, is compared in test_torchvision_losses.py.
"""

import numpy as np
import pytest

from chainfpn import models

RCNN = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn",
)
RETINANET = "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2"
NAMES = (*RCNN, *RETINANET, "fcos_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large")

#: Reads the numbers off torchvision's own models, which need no weights for that.
CODE = f"""
from torchvision.models import detection

for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "normal_", "trunc_normal_"):
    setattr(torch.nn.init, name, lambda tensor, *arguments, **options: tensor)


def matcher(x):
    low = x.proposal_matcher.low_threshold, float(x.proposal_matcher.allow_low_quality_matches)
    return [x.proposal_matcher.high_threshold, *low]


def rcnn(model):
    rpn, heads = model.rpn, model.roi_heads
    proposals = [rpn._pre_nms_top_n["training"], rpn._post_nms_top_n["training"]]
    drawn = [x for s in (rpn, heads) for x in (s.fg_bg_sampler.batch_size_per_image, s.fg_bg_sampler.positive_fraction)]
    rest = [rpn.nms_thresh, rpn.score_thresh, rpn.min_size, *rpn.box_coder.weights, *heads.box_coder.weights]
    return proposals + drawn + matcher(rpn) + matcher(heads) + rest


def retinanet(model):
    loss = ["l1", "giou"].index(model.head.regression_head._loss_type)
    return matcher(model) + [loss, *model.box_coder.weights]


def fcos(model):
    return [model.center_sampling_radius]


def ssd(model):
    return [model.proposal_matcher.high_threshold, 1 / (1 + model.neg_to_pos_ratio), *model.box_coder.weights]


for name in {NAMES}:
    model = getattr(detection, name)(weights=None, weights_backbone=None)
    read = fcos if name[:4] == "fcos" else ssd if name[:3] == "ssd" else retinanet if name[:6] == "retina" else rcnn
    outputs[name] = np.array(read(model), dtype=np.float64)
    outputs[name + " sizes"] = np.array([*model.transform.min_size, model.transform.max_size])
"""


@pytest.fixture(scope="module")
def theirs(torchvision_live):
    """The numbers of every detector, by name."""
    return torchvision_live.run(CODE)


def rcnn(model):
    stages = rpn, heads = model.rpn, model.roi_heads
    drawn = [x for stage in stages for x in (stage.batch_size_per_image, stage.positive_fraction)]
    matchers = [x for stage, low in zip(stages, (1, 0), strict=True) for x in (*thresholds(stage), low)]
    rest = [rpn.nms_thresh, rpn.score_thresh, rpn.min_size, *rpn.box_coder.weights, *heads.box_coder.weights]
    return [rpn.pre_nms_top_n_train, rpn.post_nms_top_n_train, *drawn, *matchers, *rest]


def retinanet(model):
    loss = ["l1", "giou"].index(model.head.box_loss)
    return [*thresholds(model), 1, loss, *model.box_coder.weights]


def thresholds(part):
    return part.fg_iou_thresh, part.bg_iou_thresh


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_torchvisions(theirs, name):
    """Thresholds, what is drawn, which proposals, weights of the box coder, kind of loss.

    That objects without a good anchor get the best one (the 1 after the thresholds) is not an option here.
    """
    model = getattr(models, name)()
    if name in RCNN:
        found = rcnn(model)
    elif name in RETINANET:
        found = retinanet(model)
    elif name.startswith("fcos"):
        found = [model.center_sampling_radius]
    else:
        found = [model.iou_thresh, model.positive_fraction, *model.box_coder.weights]
    np.testing.assert_allclose(found, theirs[name], rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("ssd")])
def test_images_are_as_large_as_torchvisions(theirs, name):
    """The lengths of the shorter side that one is drawn of, the last of which is that of `predict`; and the limit."""
    preprocess = getattr(models, name)().preprocess
    assert [*preprocess.train_sizes, preprocess.max_size] == theirs[f"{name} sizes"].tolist()
