"""What torchvision's constructors take: all boxes on two photographs are torchvision's, from the file alone."""

import chainer
import numpy as np
import pytest

import weights_convert
from chainfpn import models
from reference.photographs import photographs

NINE = [[16, 20, 24], [32, 40, 48], [64, 80, 96], [128, 160, 192], [256, 320, 384]]
SIDES = {"min_size": 112, "max_size": 160}

#: Name -> (how the detector is made, torchvision's settings, what else the conversion is told, the first label).
CASES = {
    "thresholds": ("rcnn()", {"box_score_thresh": 0.3, "box_nms_thresh": 0.3, "box_detections_per_img": 20}, {}, 1),
    "mean and std": ("rcnn()", {"image_mean": [0.2, 0.4, 0.3], "image_std": [0.5, 0.3, 0.4]}, {}, 1),
    "RPN": (
        "rcnn()",
        {"rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 60, "rpn_nms_thresh": 0.5, "rpn_score_thresh": 0.4},
        {},
        1,
    ),
    "bbox_reg_weights": ("rcnn()", {"bbox_reg_weights": [5.0, 4.0, 3.0, 2.0]}, {}, 1),
    "nine anchors": (f"rcnn(anchors={NINE})", {}, {"anchor_sizes": NINE}, 1),
    "GroupNorm": ("rcnn(norm_layer=lambda n: torch.nn.GroupNorm(32, n))", {}, {}, 1),
    "returned_layers": ("rcnn(anchors=[[32], [64], [128], [256]], returned_layers=[2, 3, 4])", {}, {}, 1),
    "RetinaNet of one class": ("dense(RetinaNet, 1)", {}, {}, 0),
    "RetinaNet of two classes": ("dense(RetinaNet, 2)", {}, {"labels_from": 0}, 0),
    "RetinaNet's numbers": (
        "dense(RetinaNet, 1)",
        {"score_thresh": 0.3, "nms_thresh": 0.3, "detections_per_img": 25, "topk_candidates": 120},
        {},
        0,
    ),
    "FCOS of one class": ("dense(FCOS, 1)", {}, {}, 0),
    "FCOS of two classes": ("dense(FCOS, 2)", {}, {"labels_from": 0}, 0),
}

WRITE = """
import functools
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
backbone = functools.partial(resnet_fpn_backbone, backbone_name="resnet18", weights=None)
def rcnn(anchors=None, **options):
    generator = anchors and AnchorGenerator(tuple(map(tuple, anchors)), ((0.5, 1.0, 2.0),) * len(anchors))
    heads = {"box_head": TwoMLPHead(256 * 49, 64), "box_predictor": FastRCNNPredictor(64, 3)}
    return functools.partial(FasterRCNN, backbone(**options), rpn_anchor_generator=generator, **heads)
def dense(kind, n):
    body = backbone(returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    more = {} if kind is FCOS else {"detections_per_img": 300}
    return lambda **settings: kind(body, num_classes=n, **{**more, **settings})
photographs = [torch.from_numpy(inputs[name]).double() / 255 for name in ("portrait", "landscape")]
for name, (make, settings) in CASES.items():
    torch.manual_seed(0)
    net = eval(make)(**settings, **SIDES).double().eval()
    with torch.no_grad():
        batch = net.transform(photographs)[0].tensors
        for block, level in zip(net.backbone.fpn.layer_blocks, net.backbone(batch).values()):
            block[0].weight /= level.std()
            block[0].bias /= level.std()
        for key, value in net.named_parameters():
            if key.endswith("cls_logits.weight") or key.endswith("cls_score.weight"):
                value.normal_(std=0.05 if value.ndim == 4 else 0.3)
            elif key.endswith("cls_logits.bias"):
                value.zero_()
        found = net(photographs)
    torch.save(net.state_dict(), folder / f"{name}.pth")
    for i, detections in enumerate(found):
        outputs.update({f"{name}.{i}.{key}": value for key, value in detections.items()})
"""


@pytest.fixture(scope="module")
def imgs():
    found = photographs()
    return {name: found[name] for name in ("portrait", "landscape")}


@pytest.fixture(scope="module")
def live(torchvision_live, tmp_path_factory, imgs):
    folder = tmp_path_factory.mktemp("settings")
    makes = {name: (make, settings) for name, (make, settings, _, _) in CASES.items()}
    return folder, torchvision_live.run(f"CASES, SIDES = {makes!r}, {SIDES!r}\n{WRITE}", folder=folder, **imgs)


@pytest.mark.parametrize("name", CASES)
def test_all_boxes_are_torchvisions(name, live, imgs, tmp_path):
    folder, expected = live
    _, settings, more, first = CASES[name]
    dense = "detections_per_img" not in settings and "RetinaNet" in name
    meta = settings | more | SIDES | ({"detections_per_img": 300} if dense else {})
    weights_convert.convert(folder / f"{name}.pth", tmp_path / "net.npz", meta=meta)
    with chainer.using_config("dtype", np.dtype("float64")):
        found = models.load(tmp_path / "net.npz").predict([img.astype("f8") for img in imgs.values()])
    for i, (bbox, label, score) in enumerate(zip(*found, strict=True)):
        theirs = {key: expected[f"{name}.{i}.{key}"] for key in ("boxes", "labels", "scores")}
        assert len(bbox) == len(theirs["boxes"]) >= 10
        if dense:
            assert len(bbox) == 300
        np.testing.assert_array_equal(label + first, theirs["labels"])
        np.testing.assert_allclose(score, theirs["scores"], rtol=1e-6)
        np.testing.assert_allclose(bbox[:, [1, 0, 3, 2]], theirs["boxes"], atol=1e-4)
