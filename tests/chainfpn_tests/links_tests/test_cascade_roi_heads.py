"""Cascade R-CNN beside plain loops: what its stages predict, and what they are trained for."""

import pickle
import re

import chainer
import numpy as np
import pytest

from chainfpn import errors, models, save_weights
from chainfpn.links import CascadeRoIHeads
from chainfpn.training import TrainChain
from golden import seeded

SIZE = (64, 60)
BACKGROUND = 0
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
SLIM = {"stages": (1, 2), "fpn_channels": 8, "head_channels": 8, "min_size": 64, "max_size": 64, "n_fg_class": 2}
MASKS = {"mask_layers": (4,), "mask_dim_reduced": 4}


def build(name, **options):
    """Build a slim cascade, in float64, whose random boxes move."""
    model = getattr(models, name)(18, **{**SLIM, **options})
    random = np.random.default_rng(0)
    for stage in model.roi_heads:
        for predictor, spread in ((stage.box_predictor.cls_score, 3), (stage.box_predictor.bbox_pred, 1)):
            predictor.W.array[...] = random.normal(0, spread, predictor.W.shape)
    return model


@pytest.fixture(scope="module", autouse=True)
def double():
    """Compute in float64."""
    with chainer.using_config("dtype", np.dtype(np.float64)):
        yield


@pytest.fixture(scope="module")
def cascade(double):
    """A Cascade Mask R-CNN whose stages all have a mask head."""
    model = build("cascade_mask_rcnn_resnet_fpn", n_mask_heads=3, **MASKS)
    model.roi_heads.permutation = np.arange
    model.roi_heads.batch_size_per_image = 24
    return model


@pytest.fixture(scope="module")
def batch(cascade):
    """Levels of a batch of two, proposals, sizes, and ground truth, none on the second image."""
    random = np.random.default_rng(1)
    sizes = [SIZE, (50, 64)]
    hs = [chainer.Variable(random.normal(0, 1, (2, 8, side, side))) for side in (16, 8)]
    corner = random.uniform(0, 30, (2, 40, 2))
    proposals = np.concatenate((corner, corner + random.uniform(8, 30, (2, 40, 2))), axis=2)
    gt_bboxes = [np.array([[4.0, 6, 30, 36], [10, 20, 40, 40]]), np.zeros((0, 4))]
    gt_classes = [np.array([1, 2], np.int32), np.zeros(0, np.int32)]
    proposals[0, :12] = gt_bboxes[0].repeat(6, axis=0) + random.uniform(-4, 4, (12, 4))  # some are near
    masks = [random.random((2, *SIZE)) < 0.5, np.zeros((0, 50, 64), bool)]
    return hs, [*proposals], sizes, gt_bboxes, gt_classes, masks


def decode(delta, bb, weights, size):
    """Apply the deltas of a box, and clip."""
    top, left, bottom, right = bb
    height, width = bottom - top, right - left
    dx, dy, dw, dh = (d / w for d, w in zip(delta, weights, strict=True))
    y, x = top + height / 2 + dy * height, left + width / 2 + dx * width
    half_h, half_w = height / 2 * np.exp(min(dh, np.log(62.5))), width / 2 * np.exp(min(dw, np.log(62.5)))
    corners = zip((y - half_h, x - half_w, y + half_h, x + half_w), (*size, *size), strict=True)
    return [min(max(value, 0), limit) for value, limit in corners]


def encode(gt_bb, bb, weights):
    """Return the deltas from a box to another."""
    (h, w), (gt_h, gt_w) = ((b[2] - b[0], b[3] - b[1]) for b in (bb, gt_bb))
    dx = (gt_bb[1] + gt_w / 2 - bb[1] - w / 2) / w
    dy = (gt_bb[0] + gt_h / 2 - bb[0] - h / 2) / h
    return [a * b for a, b in zip((dx, dy, np.log(gt_w / w), np.log(gt_h / h)), weights, strict=True)]


def iou(one, other):
    """Return the intersection of two boxes over their union."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    both = max(height, 0) * max(width, 0)
    area, other_area = ((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return both / (area + other_area - both)


def softmax(logit):
    """Return the probabilities of logits."""
    e = np.exp(logit - logit.max())
    return e / e.sum()


def sample(bboxes, gt_bboxes, thresh, n=24, fraction=0.25):
    """Return the box, its ground truth or None, and whether it is one, of the first positives and negatives."""
    boxes = [(bb, False) for bb in bboxes] + [(list(bb), True) for bb in gt_bboxes]
    positives, negatives = [], []
    for bb, is_gt in boxes:
        ious = [iou(bb, gt) for gt in gt_bboxes]
        best = int(np.argmax(ious)) if ious else -1
        (positives if ious and ious[best] >= thresh else negatives).append((bb, best, is_gt))
    positives = positives[: int(n * fraction)]
    negatives = [(bb, None, is_gt) for bb, _, is_gt in negatives[: n - len(positives)]]
    places = {id(bb): i for i, (bb, _) in enumerate(boxes)}
    return sorted(positives + negatives, key=lambda row: places[id(row[0])])


def plain_losses(heads, batch):
    """Compute the losses of all stages box by box."""
    hs, proposals, sizes, gt_bboxes, gt_classes, _ = batch
    current, losses = [[list(bb) for bb in image] for image in proposals], {}
    for k, (stage, thresh, weight) in enumerate(zip(heads, (0.5, 0.6, 0.7), (1.0, 0.5, 0.25), strict=True)):
        rows = [sample(image, gt, thresh) for image, gt in zip(current, gt_bboxes, strict=True)]
        logits, deltas = stage(hs, [np.array([bb for bb, *_ in image]) for image in rows], sizes)
        n, outputs = len(logits), iter(zip(logits.array, deltas.array, strict=True))
        class_loss = box_loss = 0
        current = []
        for image, size, gt_bbox, gt_class in zip(rows, sizes, gt_bboxes, gt_classes, strict=True):
            current.append([])
            for bb, best, is_gt in image:
                logit, delta = next(outputs)
                class_loss -= np.log(softmax(logit)[BACKGROUND if best is None else gt_class[best]]) / n
                for d in () if best is None else delta - encode(gt_bbox[best], bb, WEIGHTS[k]):
                    box_loss += (abs(d) - 1 / 18 if abs(d) >= 1 / 9 else d * d * 4.5) / n
                if not is_gt or best is None:
                    current[-1].append(decode(delta, bb, WEIGHTS[k], size))
        losses |= {f"roi_class_stage{k}": weight * class_loss, f"roi_box_stage{k}": weight * box_loss}
    return losses


def test_losses_are_those_of_a_plain_loop(cascade, batch):
    *truth, masks = batch
    losses = cascade.roi_heads.losses(*truth, masks=masks)
    expected = plain_losses(cascade.roi_heads, batch)
    found = {name: float(loss.array) for name, loss in losses.items()}
    assert {name: found.pop(name) for name in expected} == pytest.approx(expected, rel=1e-12)
    assert min(expected.values()) > 1e-3
    assert found.keys() == {"mask_stage0", "mask_stage1", "mask_stage2"}
    first = cascade.roi_heads[0].losses(*truth, masks=masks)  # a stage is an R-CNN's heads
    assert found["mask_stage0"] == float(first["mask"].array) > 0


#: What ``CascadeRoIHead.loss`` of mmdetection 3.3.0 returns for :func:`drawn`, on PyTorch 1.13 with torchvision's RoI
#: Align; its targets are float32 numbers, and it divides by the number of samples and 1.2e-7.
MMDETECTION = {
    "roi_class_stage0": 4.944897307293199,
    "roi_box_stage0": 3.9077994467511505,
    "roi_class_stage1": 5.315253510631042,
    "roi_box_stage1": 0.9961905098687818,
    "roi_class_stage2": 2.0256437233021187,
    "roi_box_stage2": 0.2636577085721753,
}


def draw(name, *shape):
    """Draw numbers from a name, which is the same everywhere."""
    return seeded.draw(name, {"shape": shape, "draw": "normal", "scale": 1.0}).astype(np.float64)


def drawn():
    """Return a cascade under the rules of mmdetection that samples everything, and what its losses take."""
    options = {**SLIM, "n_fg_class": 3, "rules": "mmdetection"}
    model = models.cascade_rcnn_resnet_fpn(18, **options, box_batch_size_per_image=512, box_positive_fraction=1.0)
    for path, param in model.roi_heads.namedparams():
        scale = {"bbox_pred": 0.5, "cls_score": 1.5, "box_head": 0.3}[
            re.findall("bbox_pred|cls_score|box_head", path)[0]
        ]
        param.array[...] = scale * draw(path, *param.shape)
    hs = [chainer.Variable(draw(f"level {side}", 2, 8, side, side)) for side in (16, 8)]
    gt_bboxes = [np.array([[4.0, 6, 30, 36], [10, 20, 40, 40]]), np.array([[20.0, 5, 50, 50]])]
    near = np.stack([gt_bboxes[0].repeat(60, axis=0), gt_bboxes[1].repeat(120, axis=0)])
    proposals = near + draw("proposals", 2, 120, 4) * np.linspace(1, 6, 120)[:, None]
    return model.roi_heads, hs, [*proposals], [(64, 64)] * 2, gt_bboxes, [np.array([1, 3], "i"), np.array([2], "i")]


def test_losses_are_mmdetections():
    heads, *truth = drawn()
    losses = {name: float(loss.array) for name, loss in heads.losses(*truth).items()}
    assert losses == pytest.approx(MMDETECTION, rel=1e-6)


@pytest.mark.parametrize("average_logits", [False, True])
def test_scores_are_averaged_and_boxes_the_last(cascade, batch, average_logits):
    hs, proposals, sizes, *_ = batch
    current, outputs = [[list(bb) for bb in image] for image in proposals], []
    for stage, weights in zip(cascade.roi_heads, WEIGHTS, strict=True):
        logits, deltas = stage(hs, [np.array(image) for image in current], sizes)
        rows, outputs = iter(deltas.array), [*outputs, logits.array]
        current = [
            [decode(next(rows), bb, weights, size) for bb in image] for image, size in zip(current, sizes, strict=True)
        ]
    score = [softmax(np.mean(row, axis=0)) for row in zip(*outputs, strict=True)]
    if not average_logits:
        score = [np.mean([softmax(logit) for logit in row], axis=0) for row in zip(*outputs, strict=True)]
    cascade.roi_heads.average_logits = average_logits
    found_score, found = cascade.roi_heads(hs, proposals, sizes)
    np.testing.assert_allclose(found_score, score, rtol=1e-12)
    for one, other in zip(found, current, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_masks_are_averaged_over_the_heads_there_are(cascade, batch):
    hs, proposals, sizes, *_ = batch
    heads, each = cascade.roi_heads, []
    heads.detections_per_img = 3
    (found, _), others = heads.detect(hs, proposals, sizes), [stage.mask_head for stage in heads]
    for keep in heads:
        for stage, mask_head in zip(heads, others, strict=True):
            object.__setattr__(stage, "mask_head", mask_head if stage is keep else None)
        each.append(heads.detect(hs, proposals, sizes)[0])
    for stage, mask_head in zip(heads, others, strict=True):
        object.__setattr__(stage, "mask_head", mask_head)
    assert found.mask.shape == (3, 28, 28)
    assert all((one.bbox == found.bbox).all() for one in each)
    np.testing.assert_allclose(found.mask, np.mean([one.mask for one in each], axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [("cascade_rcnn_resnet_fpn", {}), ("cascade_mask_rcnn_resnet_fpn", {"average_logits": True, **MASKS})],
)
def test_it_trains_and_survives_files(name, options, tmp_path):
    model = build(name, box_detections_per_img=4, box_score_thresh=0.01, **options)
    assert type(model.roi_heads) is CascadeRoIHeads
    img = np.random.default_rng(2).uniform(0, 255, (3, 64, 60)).astype(np.float32)
    save_weights(tmp_path / "cascade.npz", model)
    (expected,) = model.detect([img])
    assert len(expected.bbox) == 4
    assert (expected.mask is None) == (name == "cascade_rcnn_resnet_fpn")
    for again in (models.load(tmp_path / "cascade.npz"), pickle.loads(pickle.dumps(model))):
        (found,) = again.detect([img])
        assert (found.bbox == expected.bbox).all()
        assert (found.score == expected.score).all()
    names = {path for path, _ in model.namedparams()}
    assert {"/roi_heads/0/box_head/fc6/W", "/roi_heads/2/box_predictor/bbox_pred/b"} <= names
    chain = TrainChain(model)
    for n in (1, 0):  # every weight has a gradient, too, where there is nothing to be found
        truth = [np.array([[4, 6, 30, 36]], np.float32)[:n]], [np.array([1], np.int32)[:n]]
        masks = [] if expected.mask is None else [[np.ones((n, 64, 60), bool)]]
        loss = chain([img], *truth, *masks)
        chain.cleargrads()
        loss.backward()
        assert all(param.grad is not None for param in chain.params())


def test_settings_are_those_of_all_stages(cascade):
    cascade.score_thresh = 0.2
    assert [stage.score_thresh for stage in cascade.roi_heads] == [0.2] * 3
    assert [stage.fg_iou_thresh for stage in cascade.roi_heads] == [0.5, 0.6, 0.7]
    with pytest.raises(errors.InvalidArgument, match=r"score_thresh must be a number"):
        cascade.roi_heads.score_thresh = "high"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cascade_iou_thresh": (0.5, 1.5)}, "cascade_iou_thresh must be numbers in 0 to 1"),
        ({"cascade_iou_thresh": (0.5, 0.6)}, "cascade_bbox_reg_weights must have 2 entries, one per stage"),
        ({"cascade_bbox_reg_weights": ((1, 2, 3),) * 3}, "cascade_bbox_reg_weights must be None or, per stage, four"),
        ({"stage_loss_weights": (1, 1)}, "stage_loss_weights must have 3 entries"),
        ({"stage_loss_weights": (1, 1, -1)}, "stage_loss_weights must be numbers >= 0"),
        ({"n_mask_heads": 4}, "n_mask_heads must be at most 3"),
        ({"average_logits": 1}, "average_logits must be True or False"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(errors.InvalidArgument, match=message):
        models.cascade_mask_rcnn_resnet_fpn(18, n_fg_class=2, **options)
    with pytest.raises(TypeError, match="no option 'bbox_reg_weights'"):
        models.cascade_rcnn_resnet_fpn(18, n_fg_class=2, bbox_reg_weights=(1, 1, 1, 1))


def test_rules_say_what_is_left_out():
    """mmdetection averages logits, and its weights are those of rounded standard deviations."""
    small = {"depth": 18, "n_fg_class": 2, "fpn_channels": 8, "head_channels": 8}
    for rules, average_logits, weight in (("detectron2", False, 30.0), ("mmdetection", True, 1 / 0.033)):
        heads = models.cascade_rcnn_resnet_fpn(**small, rules=rules).roi_heads
        assert (heads.average_logits, heads[2].bbox_reg_weights[0]) == (average_logits, weight)
    heads = models.cascade_rcnn_resnet_fpn(**small, rules="mmdetection", average_logits=False).roi_heads
    assert heads.average_logits is False


def test_there_must_be_a_weight_for_each_stage():
    with pytest.raises(errors.InvalidArgument, match="stages must have 3 entries, one per weight of a loss, got 0"):
        CascadeRoIHeads()
