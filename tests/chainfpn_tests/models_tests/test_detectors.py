"""Every detector beside torchvision's own, from torchvision's file: photographs of two sizes in one batch."""

import textwrap
from typing import NamedTuple

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.models._weights import find_weights
from reference.photographs import photographs
from reference.random_networks import RANDOM_NETWORKS

#: Small, and few regions, so that torch's slow float64 stays short.
MIN_SIZE, N_PROPOSALS, N_DETECTIONS = 128, 100, 20
SMALL = {"min_size": MIN_SIZE}
SMALL_RCNN = SMALL | {"rpn_post_nms_top_n_test": N_PROPOSALS, "box_detections_per_img": N_DETECTIONS}

#: What makes the random heads find things: standard deviations of what they put out, see random_networks.
RCNN = """
    head, heads = model.rpn.head, model.roi_heads
    spread(lambda: head(list(features.values())), (head.cls_logits, 3), (head.bbox_pred, 0.3))
    run = lambda: heads(features, model.rpn(images, features)[0], images.image_sizes)
    spread(run, (heads.box_predictor.cls_score, 3), (heads.box_predictor.bbox_pred, 1))
"""
#: So unlikely that the threshold for proposals, which the MobileNets have, leaves out about half of them.
UNLIKELY = """
    head.cls_logits.bias.data -= 9
"""
MASKS = """
    spread(run, (heads.mask_predictor.mask_fcn_logits, 3))
"""
KEYPOINTS = """
    spread(run, (heads.keypoint_predictor.kps_score_lowres, 3))
"""
DENSE = """
    run = lambda: model.head(list(features.values()))
    spread(run, (model.head.classification_head.cls_logits, 1), (model.head.regression_head.bbox_reg, {deltas}))
    model.head.classification_head.cls_logits.bias.data -= {below}
"""


SSD = """
    logits, deltas = model.head.classification_head.module_list, model.head.regression_head.module_list
    run = lambda: model.head(list(features.values()))
    spread(run, *((module, 2) for module in logits), *((module, 1) for module in deltas))
    for module in logits:
        module.bias.data[::91] += 8
"""


def frozen(trunk, more=""):
    """Write in torchvision's parts: a trunk with frozen normalization under a pyramid."""
    return f"detection.backbone_utils.resnet_fpn_backbone(backbone_name={trunk!r}, weights=None{more})"


def normed(trunk, more=""):
    """Write in torchvision's parts: a trunk of a second version under a pyramid."""
    return f"detection.backbone_utils._resnet_fpn_extractor(torchvision.models.{trunk}(), 5{more})"


def p3_to_p7(channels):
    """Write in torchvision's parts: the levels of a detector of one stage, P6 from a map of so many channels."""
    levels = f"torchvision.ops.feature_pyramid_network.LastLevelP6P7({channels}, 256)"
    return f", returned_layers=[2, 3, 4], extra_blocks={levels}"


#: What the second versions of torchvision's detectors have besides.
NORM = ", norm_layer=torch.nn.BatchNorm2d"
RCNN_V2 = (
    ", rpn_head=detection.rpn.RPNHead(256, 3, conv_depth=2)"
    f", box_head=detection.faster_rcnn.FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024]{NORM})"
)
MASKS_V2 = f", mask_head=detection.mask_rcnn.MaskRCNNHeads(256, [256] * 4, 1{NORM})"
RETINANET_V2 = (
    ", anchor_generator=detection.retinanet._default_anchorgen()"
    ", head=detection.retinanet.RetinaNetHead(256, 9, 91, norm_layer=lambda n: torch.nn.GroupNorm(32, n))"
)


class Case(NamedTuple):
    """A builder, how its heads are made to find things, torchvision's options, and how torchvision makes it."""

    builder: str
    spread: str
    options: dict = SMALL_RCNN
    make: str = "detection.{builder}(weights=None, weights_backbone=None, **{options})"


def on_any_trunk(builder, spread, options, start):
    """Make the case of a detector that torchvision has no builder for, from the start of a call of its class."""
    return Case(builder, spread, options, f"detection.{start}, **{{options}})")


CASES = [
    Case("fasterrcnn_resnet50_fpn_v2", RCNN),
    Case("fasterrcnn_mobilenet_v3_large_fpn", RCNN + UNLIKELY),
    Case("fasterrcnn_mobilenet_v3_large_320_fpn", RCNN + UNLIKELY),
    Case("maskrcnn_resnet50_fpn", RCNN + MASKS),
    Case("maskrcnn_resnet50_fpn_v2", RCNN + MASKS),
    Case("keypointrcnn_resnet50_fpn", RCNN + KEYPOINTS),
    Case("retinanet_resnet50_fpn", DENSE.format(below=6, deltas=0.3), SMALL),
    Case("retinanet_resnet50_fpn_v2", DENSE.format(below=6, deltas=0.3), SMALL),
    Case("fcos_resnet50_fpn", DENSE.format(below=5, deltas=2), SMALL),
    Case("ssd300_vgg16", SSD, {}),
    on_any_trunk("fasterrcnn_resnet_fpn", RCNN, SMALL_RCNN, f"FasterRCNN({frozen('resnext50_32x4d')}, 91"),
    on_any_trunk("maskrcnn_resnet_fpn", RCNN + MASKS, SMALL_RCNN, f"MaskRCNN({frozen('wide_resnet50_2')}, 91"),
    on_any_trunk("keypointrcnn_resnet_fpn", RCNN + KEYPOINTS, SMALL_RCNN, f"KeypointRCNN({frozen('resnet34')}, 2"),
    on_any_trunk(
        "fasterrcnn_resnet_fpn_v2",
        RCNN,
        SMALL_RCNN,
        f"FasterRCNN({normed('resnet18', NORM)}, 91{RCNN_V2}",
    ),
    on_any_trunk(
        "maskrcnn_resnet_fpn_v2",
        RCNN + MASKS,
        SMALL_RCNN,
        f"MaskRCNN({normed('resnet18', NORM)}, 91{RCNN_V2}{MASKS_V2}",
    ),
    on_any_trunk(
        "retinanet_resnet_fpn",
        DENSE.format(below=6, deltas=0.3),
        SMALL,
        f"RetinaNet({frozen('resnet18', p3_to_p7(512))}, 91",
    ),
    on_any_trunk(
        "retinanet_resnet_fpn_v2",
        DENSE.format(below=6, deltas=0.3),
        SMALL,
        f"RetinaNet({normed('resnet18', p3_to_p7(512))}, 91{RETINANET_V2}",
    ),
    on_any_trunk(
        "fcos_resnet_fpn",
        DENSE.format(below=5, deltas=2),
        SMALL,
        f"FCOS({frozen('resnet34', p3_to_p7(256))}, 91",
    ),
]

#: One of each kind; the others put the same parts together in another way.
FIRST = {"maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn", "ssd300_vgg16"}
PARAMS = [case if case.builder in FIRST else pytest.param(case, marks=pytest.mark.thorough) for case in CASES]

#: What torchvision's detector finds, in both precisions; of masks, the pixels that are more likely than not.
CODE = """
    detection = torchvision.models.detection
    model = {make}.eval()
    imgs = {{name: torch.from_numpy(img) / 255 for name, img in inputs.items()}}
    images, _ = model.transform(list(imgs.values()))
    run = lambda: model.backbone(images.tensors)
    settle(model, run, 0)
    with torch.no_grad():
        features = run()
    {spread}
    torch.save(model.state_dict(), folder / "weights.pth")
    for dtype in (torch.float32, torch.float64):
        model = model.to(dtype)
        with torch.no_grad():
            results = model([torch.from_numpy(img).to(dtype) / 255 for img in inputs.values()])
        for name, result in zip(inputs, results):
            if "masks" in result:
                result["masks"] = result["masks"][:, 0] > 0.5
            for key, value in result.items():
                outputs[f"{{dtype}} {{name}} {{key}}"] = value
"""


@pytest.fixture(scope="module", params=PARAMS, ids=lambda case: case.builder)
def theirs(request, torchvision_live, tmp_path_factory):
    """The case, its weights from torchvision's file, the photographs, and what torchvision finds on them."""
    case = request.param
    folder = tmp_path_factory.mktemp("detector")
    imgs = {name: img for name, img in photographs().items() if name != "landscape"}
    make = case.make.format(builder=case.builder, options=case.options)
    code = textwrap.dedent(CODE).format(make=make, spread=textwrap.dedent(case.spread))
    expected = torchvision_live.run(RANDOM_NETWORKS + code, folder=folder, **imgs)
    weights = find_weights(folder / "weights.pth", name=None)
    (folder / "weights.pth").unlink()
    return case, weights, imgs, expected


def test_converter_knows_the_builder(theirs):
    case, weights, _, _ = theirs
    assert weights.meta["model"] == case.builder.replace("_320_", "_")  # whose tensors are the same


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_findings_are_torchvisions(theirs, dtype):
    """All images whole in float64; in float32 those, at least one, where torchvision agrees with itself in float64.

    The reason is said in test_faster_rcnn.
    """
    case, weights, imgs, expected = theirs
    size = {key: case.options[key] for key in case.options.keys() & {"min_size"}}
    with chainer.using_config("dtype", np.dtype(dtype)):
        model = _limited(getattr(models, case.builder)(pretrained_model=weights, **size))
        found = list(zip(*model.predict(imgs.values()), strict=True))
    n_compared = []
    for name, image in zip(imgs, found, strict=True):
        exact, reference = (_theirs(model, expected, f"torch.{d} {name}") for d in ("float64", dtype))
        if not _differences(exact, reference):
            assert _differences(reference, image) == []
            n_compared.append(len(image[0]))
    assert len(n_compared) >= {"float32": 1, "float64": len(imgs)}[dtype]
    assert sum(n_compared) > 10


def _limited(model):
    """Give a detector of two stages the numbers torchvision's was given."""
    if hasattr(model, "rpn"):
        model.rpn.post_nms_top_n_test, model.roi_heads.detections_per_img = N_PROPOSALS, N_DETECTIONS
    return model


def _theirs(model, expected, prefix):
    """Return what torchvision found as ours, without outputs that have no label."""
    labels = {output: label for label, output in enumerate(model.class_ids)}
    outputs = expected[f"{prefix} labels"]
    named = np.array([output in labels for output in outputs], dtype=bool)
    image = [
        expected[f"{prefix} boxes"][named][:, [1, 0, 3, 2]],
        np.array([labels[output] for output in outputs[named]], dtype=int),
        expected[f"{prefix} scores"][named],
    ]
    if f"{prefix} masks" in expected:
        image.append(expected[f"{prefix} masks"][named])
    if f"{prefix} keypoints" in expected:
        image.append(expected[f"{prefix} keypoints"][named][..., [1, 0]])
        image.append(expected[f"{prefix} keypoints_scores"][named])
    return image


def _differences(reference, image):
    """List what of the first has no equal of its own in the second, and a difference in number."""
    bbox, label, score = image[:3]
    differences = [] if len(bbox) == len(reference[0]) else [(len(reference[0]), len(bbox))]
    free = np.ones(len(bbox), dtype=bool)
    for box, name, confidence, *more in zip(*reference, strict=True):
        alike = free & (label == name) & (np.abs(bbox - box).max(axis=1) < 0.05) & (np.abs(score - confidence) < 1e-4)
        pairs = (i for i in np.flatnonzero(alike) if _alike(more, [array[i] for array in image[3:]]))
        match = next(pairs, None)
        if match is None:
            differences.append((box, name, confidence))
        else:
            free[match] = False
    return differences


def _alike(reference, ours):
    """Compare nothing, two masks, or the points and logits of two sets of keypoints."""
    if len(reference) == 1:
        return (reference[0] & ours[0]).sum() >= 0.999 * (reference[0] | ours[0]).sum()
    tolerances = (0.1, 1e-3)[: len(reference)]
    return all(np.abs(a - b).max() < t for a, b, t in zip(reference, ours, tolerances, strict=True))
