"""What a train chain takes, reports and refuses; and twenty steps of SGD beside torchvision's."""

import chainer
import numpy as np
import pytest

from chainfpn.links import Detector, FasterRCNN, RoIHeads
from chainfpn.models._weights import find_weights
from chainfpn.training import TrainChain
from reference.random_networks import RANDOM_NETWORKS
from reference.slim_detectors import SLIM, SLIM_DETECTORS, as_inputs, marks, pictures, reported_by
from reference.training import train_chain

#: The losses that each detector reports, beside their sum.
LOSSES = {
    "faster_rcnn": {"rpn_objectness", "rpn_box", "roi_class", "roi_box"},
    "mask_rcnn": {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"},
    "mask_rcnn_v2": {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "mask"},
    "keypoint_rcnn": {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "keypoint"},
    "retinanet": {"class", "box"},
    "retinanet_v2": {"class", "box"},
    "fcos": {"class", "box", "centerness"},
    "ssd": {"class", "box"},
}


class _Fresh:
    """Weights that leave a link as it is."""

    @staticmethod
    def load_into(link):
        return link


def _build(name):
    slim = SLIM[name]
    fresh = _Fresh if slim.builder.__name__.startswith("slim") else None
    return slim.builder(pretrained_model=fresh, **slim.options), slim


@pytest.fixture(scope="module")
def faster_rcnn():
    """A slim Faster R-CNN that tests do not change."""
    return _build("faster_rcnn")[0]


@pytest.fixture(scope="module")
def truth():
    """Two pictures, the second of which shows nothing."""
    return pictures()


@pytest.mark.parametrize("name", SLIM)
@pytest.mark.parametrize("dtype", ["float32", "mixed16"])
def test_pictures_that_show_nothing(name, dtype):
    """All losses are finite, and every weight has a gradient, which processes that train together rely on."""
    with chainer.using_config("dtype", chainer.mixed16 if dtype == "mixed16" else np.dtype(dtype)):
        model, slim = _build(name)
        imgs, bboxes, labels = (values[-1:] for values in pictures())
        others = [values for key, values in marks(imgs, bboxes).items() if key in slim.others]
        chain = train_chain(model, **slim.training)
        loss, reported = reported_by(chain, (imgs, bboxes, labels, *others))
        chain.cleargrads()
        loss.backward()
    assert reported.keys() == {"loss", *(f"loss/{part}" for part in LOSSES[name])}
    assert reported["loss"] == pytest.approx(sum(reported.values()) / 2, rel=1e-5)
    nothing_there = {"loss/roi_box", "loss/rpn_box", "loss/mask", "loss/keypoint", "loss/box", "loss/centerness"}
    assert all(reported[key] == 0 for key in nothing_there & reported.keys())
    assert loss.dtype == np.float32
    assert [path for path, param in model.namedparams() if param.grad is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SLIM)
def test_mixed_precision_is_near_full(name):
    """With the loss scaled, as an optimizer does it; the network is in float16, the losses are in float32."""
    truth = pictures()
    model, slim = _build(name)
    weights = {path: param.array for path, param in model.namedparams()}
    others = [values for key, values in marks(*truth[:2]).items() if key in slim.others]
    totals = []
    for dtype in (np.dtype(np.float32), chainer.mixed16):
        with chainer.using_config("dtype", dtype):
            model, _ = _build(name)
            for path, param in model.namedparams():
                param.array[...] = weights[path]
            pinned = {"permutation": np.arange} if hasattr(model, "rpn") else {}
            chain = train_chain(model, **slim.training, **pinned)
            loss = chain(*truth, *others)
            chain.cleargrads()
            loss.backward(loss_scale=128)
        totals.append(float(loss.array))
        assert all(np.isfinite(param.grad).all() for param in model.params())
    assert totals[1] == pytest.approx(totals[0], rel=0.05)


def test_a_subclass_of_a_detector_has_its_parents_losses(truth):
    class Mine(FasterRCNN):
        pass

    parent, _ = _build("faster_rcnn")
    model = Mine(parent.backbone, parent.rpn, parent.roi_heads, n_fg_class=3, preprocess=parent.preprocess)
    chain = TrainChain(model)
    assert chain.model is model
    assert reported_by(chain, truth)[1].keys() == {"loss", *(f"loss/{part}" for part in LOSSES["faster_rcnn"])}


def test_what_has_no_losses_is_refused():
    for model in (chainer.links.Linear(1, 1), Detector(n_fg_class=1)):
        with pytest.raises(TypeError, match=r"TrainChain: model must be a detector with losses, got (Linear|Detector)"):
            TrainChain(model)


def test_what_a_detector_takes_is_named(faster_rcnn, truth):
    with pytest.raises(TypeError, match=r"TrainChain: 2 lists must follow imgs, bboxes, labels, got 3"):
        TrainChain(faster_rcnn)(*truth, truth[1])
    with pytest.raises(TypeError, match=r"TrainChain: 3 lists must follow imgs, bboxes, labels, masks, got 2"):
        TrainChain(_build("mask_rcnn")[0])(*truth)


def test_what_boxes_are_trained_by_is_the_heads():
    first, second = _build("retinanet")[0], _build("retinanet_v2")[0]
    assert [model.head.box_loss for model in (first, second)] == ["l1", "giou"]
    with pytest.raises(ValueError, match="RetinaNetHead: box_loss must be one of l1, giou, got 'ciou'"):
        first.head.box_loss = "ciou"
    assert first.head.box_loss == "l1"


@pytest.mark.parametrize("rules", ["torchvision", "chainercv"])
def test_proposals_in_training_are_those_of_detection(monkeypatch, truth, rules):
    """Also as far as they may reach into the padding beside the smaller picture."""
    options = {**SLIM["faster_rcnn"].options, "rules": rules}
    model = SLIM["faster_rcnn"].builder(**options)
    chain, given = train_chain(model), []
    monkeypatch.setattr(RoIHeads, "sample_proposals", lambda self, proposals, *_: given.append(proposals) or 1 / 0)
    x, sizes, *boxes = chain.batch(*truth)
    with pytest.raises(ZeroDivisionError):
        model.losses(x, sizes, *boxes)
    expected = model.rpn(model.backbone(x), sizes, x.shape[2:])
    for found, proposals in zip(given[0], expected, strict=True):
        np.testing.assert_array_equal(found, proposals)
    beyond = [(bbox[:, 2:] > size).any() for bbox, size in zip(expected, sizes, strict=True)]
    assert any(beyond) == (rules == "chainercv")


def test_proposals_that_may_fill_the_batch_need_its_size():
    model = SLIM["faster_rcnn"].builder(**SLIM["faster_rcnn"].options, rules="chainercv")
    with pytest.raises(ValueError, match="RegionProposalNetwork: padded_size must be given with clip_to_batch, got"):
        model.rpn.propose([], [], [], [(8, 8)])


def test_weights_are_saved_under_model(faster_rcnn):
    names = {path for path, _ in train_chain(faster_rcnn).namedparams()}
    assert "/model/rpn/head/conv/W" in names


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"bboxes": [[4, 4, 20, 30], [8, 9, 8, 20]]},
            r"bboxes\[0\]\[1\] must have a height and width > 0, got \[8.0, 9",
        ),
        (
            {"bboxes": [[4, 4, 20, 30], [1, 2, np.nan, 9]]},
            r"bboxes\[0\]\[1\] must have a height .*, got \[1.0, 2.0, nan",
        ),
        ({"bboxes": [[4, 4, 20], [8, 9, 8]]}, r"bboxes\[0\] must be \(R, 4\), got shape \(2, 3\)"),
        ({"labels": [0]}, r"labels\[0\] must be \(2,\) as there are boxes, got shape \(1,\)"),
        ({"labels": [0, 3]}, r"labels\[0\]\[1\] must be in 0\.\.2, got 3"),
        ({"labels": [-1, 2]}, r"labels\[0\]\[0\] must be in 0\.\.2, got -1"),
    ],
)
def test_a_wrong_truth_is_named(faster_rcnn, change, sentence):
    given = {"bboxes": [[4, 4, 20, 30], [8, 9, 18, 20]], "labels": [0, 2], **change}
    bbox, label = np.array(given["bboxes"], np.float32), np.array(given["labels"], np.int32)
    with pytest.raises(ValueError, match="TrainChain: " + sentence):
        train_chain(faster_rcnn)([np.zeros((3, 64, 64), np.float32)], [bbox], [label])


def test_lists_of_unequal_length_are_named(faster_rcnn, truth):
    imgs, bboxes, labels = truth
    with pytest.raises(ValueError, match="TrainChain: labels must have 2 entries, one per image, got 1"):
        train_chain(faster_rcnn)(imgs, bboxes, labels[:1])


def test_masks_of_another_size_are_named(truth):
    imgs, bboxes, labels = truth
    masks = [np.ones((len(bbox), 5, 5), bool) for bbox in bboxes]
    with pytest.raises(ValueError, match=r"TrainChain: masks\[0\] must be \(3, 100, 150\), got shape \(3, 5, 5\)"):
        train_chain(_build("mask_rcnn")[0])(imgs, bboxes, labels, masks)


def test_a_loss_that_is_not_finite_is_named(truth):
    model, _ = _build("faster_rcnn")
    model.roi_heads.box_predictor.cls_score.b.array[0] = np.inf
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match=r"FasterRCNN.*but loss/roi_class is"):
        train_chain(model)(*truth)


def test_the_draws_come_from_numpys_global_generator(truth):
    """So that a snapshot of its state continues a training bit for bit."""
    model, _ = _build("faster_rcnn")
    chain = train_chain(model, rpn_batch_size_per_image=20, box_batch_size_per_image=20)
    losses = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        losses.append(float(chain(*truth).array))
    assert losses[0] == losses[1] != losses[2]


N_STEP, LR, MOMENTUM, DECAY = 20, 0.002, 0.9, 1e-4

SGD = f"""
{SLIM["faster_rcnn"].theirs}
imgs, targets = batch(torch.float32)
run = lambda: model.eval()(imgs[:1])
settle(model, lambda: model.backbone(model.transform(imgs)[0].tensors), 0)
torch.save(model.state_dict(), folder / "weights.pth")
optimizer = torch.optim.SGD(model.parameters(), lr={LR}, momentum={MOMENTUM}, weight_decay={DECAY})
model.train()
steps = []
for step in range({N_STEP}):
    chosen = [step % len(imgs), (step + 1) % len(imgs)]
    loss = sum(model([imgs[i] for i in chosen], [targets[i] for i in chosen]).values())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    steps.append(float(loss))
outputs["losses"] = np.array(steps)
"""


def test_twenty_steps_of_sgd_are_torchvisions(torchvision_live, tmp_path):
    """The same weights, order of pictures and draws give the same losses."""
    slim, truth = SLIM["faster_rcnn"], pictures(5)
    expected = torchvision_live.run(RANDOM_NETWORKS + SLIM_DETECTORS + SGD, folder=tmp_path, **as_inputs(*truth))
    weights = find_weights(tmp_path / "weights.pth", name=None, any_names=True)
    chain = train_chain(slim.builder(pretrained_model=weights, **slim.options), **slim.training, permutation=np.arange)
    optimizer = chainer.optimizers.MomentumSGD(lr=LR, momentum=MOMENTUM).setup(chain)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(DECAY))
    losses = []
    for step in range(N_STEP):
        chosen = [step % len(truth[0]), (step + 1) % len(truth[0])]
        loss = chain(*([values[i] for i in chosen] for values in truth))
        chain.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    assert min(losses[-5:]) < 0.6 * losses[0]
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-3)
