"""How often a detector makes the GPU start something and the host wait; nothing large comes back.

The numbers depend on the network and the number of images, hardly on their size, so that small images do. Bounds are a
few per cent above what docs/architecture.md says it is today.
"""

import collections

import chainer
import chainer.links as L
import numpy as np
import pytest
from chainer import optimizer_hooks, optimizers
from chainer.backends import cuda

from chainfpn import models
from chainfpn.datasets import ShapesDataset
from chainfpn.links.detectors.keypoint_head import heatmaps_to_keypoints
from chainfpn.links.detectors.paste_masks import paste_masks, paste_masks_at_centers
from chainfpn.training import GradientClipping, TrainChain, freeze_backbone, fuse_updates, use_mixed_precision
from chainfpn.training.evaluator import evaluate
from reference import fake_cudnn, fake_cupy

pytestmark = pytest.mark.fake_gpu

SIZE = 128, 160
#: Normalizations of the small detector's trunk, and biases: four of the pyramid, three for each of its levels.
N_NORMS, N_BIASES = 10, 4 + 3 * 3


def names_of_launches(counts):
    """Count the launches of each kernel."""
    return collections.Counter(event.what.partition("<")[0] for event in counts.events if event.kind == "launch")


@pytest.fixture(scope="module")
def model():
    """Return a Faster R-CNN on a whole ResNet-50, whose layers in the heads are all there, and slim."""
    np.random.seed(0)
    slim = {"fpn_channels": 64, "head_channels": 64, "box_batch_size_per_image": 128}
    model = models.fasterrcnn_resnet_fpn(50, n_fg_class=3, min_size=SIZE[0], max_size=SIZE[1], **slim)
    model.score_thresh = 0.0
    model.to_device("@cupy:0")
    return model


def make_slim():
    """Return a small one, quicker and with fewer layers, in the dtype that is configured."""
    np.random.seed(0)
    sizes, names = {"min_size": 64, "max_size": 64}, ShapesDataset(1, 64).label_names
    slim = models.fasterrcnn_resnet_fpn(
        18, n_fg_class=3, stages=(1, 2), fpn_channels=16, head_channels=16, label_names=names, **sizes
    )
    slim.score_thresh = 0.0
    slim.to_device("@cupy:0")
    return slim


@pytest.fixture(scope="module")
def slim():
    return make_slim()


@pytest.fixture
def img():
    return np.random.default_rng(0).uniform(0, 255, (3, *SIZE)).astype(np.float32)


def test_predict(model, img, monkeypatch):
    nodes, apply = [], chainer.FunctionNode.apply
    monkeypatch.setattr(chainer.FunctionNode, "apply", lambda node, x: nodes.append(node.label) or apply(node, x))
    model.predict([img])
    assert len(nodes) <= 11, sorted(nodes)  # each takes the host longer than a kernel's launch
    with fake_cupy.count() as counts:
        (bbox,), _, _ = model.predict([img])
    assert len(bbox) > 50
    assert counts.launches <= 275, counts.table("launch")
    assert counts.syncs <= 5, counts.table("sync")
    assert counts.uploads <= 2, counts.table("upload")  # the image, and what is known of it
    assert counts.largest_download <= 100 * 6 * 4, counts.table("sync")
    names = names_of_launches(counts)
    once = {"preprocess": 1, "align_forward": 1}  # levels together
    assert names.items() >= {**once, "decode_boxes": 2, "nms_masks": 2, "nms_scan": 2}.items()  # RPN and heads


def test_cudnn_computes_what_follows_a_convolution(slim, monkeypatch):
    """From the third time on, when both ways have been compared."""
    library = fake_cudnn.install(monkeypatch, fake_cudnn.Library([fake_cudnn.Engine(computes=True)]))
    img = np.random.default_rng(0).uniform(0, 255, (3, 64, 64)).astype(np.float32)
    launches = []
    for way in ("0", "1", "1", "1"):  # at first in two steps
        monkeypatch.setenv("CHAINFPN_CUDNN_FUSION", way)
        with fake_cupy.count() as counts:
            slim.predict([img])
        launches.append(names_of_launches(counts))
    fake_cudnn.forget()
    assert counts.syncs <= 5, counts.table("sync")
    assert not {"normalize", "im2col"} & launches[3].keys(), counts.table("launch")
    assert launches[0]["normalize"] == N_NORMS + N_BIASES
    assert launches[3]["fold"] == N_NORMS
    assert sum(launches[3].values()) <= sum(launches[0].values())
    assert library.executed


def test_half_precision_starts_no_more(slim):
    """Weights are not cast again and again; only the image is."""
    launches, img = [], np.zeros((3, 64, 64), np.float32)
    for dtype in (np.float32, np.float16):
        with chainer.using_config("dtype", dtype):
            model = slim if dtype == np.float32 else make_slim()
            model.predict([img])
            with fake_cupy.count() as counts:
                model.predict([img])
        launches.append(counts.launches)
    assert launches[1] <= launches[0] + 2, counts.table("launch")


def test_the_images_of_a_batch_share_their_waits(slim, img):
    with fake_cupy.count() as counts:
        bboxes, _, _ = slim.predict([img, img[:, ::-1], img[:, :, ::-1], img[:, :100]])
    assert min(map(len, bboxes)) > 20
    assert counts.syncs <= 5, counts.table("sync")
    assert counts.largest_download <= 4 * 100 * 6 * 4, counts.table("sync")


def test_an_image_of_bytes_is_sent_as_bytes(slim, img):
    with fake_cupy.count() as counts:
        slim.predict([img.astype(np.uint8)])
    assert max(event.nbytes for event in counts.events if event.kind == "upload") == img.size, counts.table("upload")


def test_masks_are_pasted_and_peaks_found_on_the_device():
    rng, cupy = np.random.default_rng(0), cuda.cupy
    grids, heat = (cupy.asarray(rng.uniform(-1, 1, (7, 3, 28, 28)).astype(np.float32)) for _ in range(2))
    bbox = np.tile(np.array([5, 9, 40, 50], np.float32), (7, 1))
    with fake_cupy.count() as counts:
        masks = paste_masks(grids[:, 0], bbox, (44, 61))
    assert counts.launches
    assert counts.syncs == 1, counts.table("sync")
    assert counts.largest_download <= masks.size < grids[:, 0].nbytes  # the pixels, as bytes, not the grids
    with fake_cupy.count() as counts:
        paste_masks_at_centers(grids[:, 0], bbox, (44, 61))
    assert counts.syncs == 1, counts.table("sync")
    boxes = cupy.asarray(bbox)
    with fake_cupy.count() as counts:
        heatmaps_to_keypoints(heat, boxes)
    assert counts.launches
    assert not counts.syncs, counts.table("sync")


def test_an_evaluation_waits_for_several_images_at_once(slim):
    """Once for the copies of the next images, which came meanwhile, all of them, and none twice."""
    data = ShapesDataset(4, 64)
    with fake_cupy.count() as counts:
        evaluation = evaluate(slim, data)
    assert evaluation.n_images == 4
    assert counts.syncs <= 6, counts.table("sync")
    images = [event.what for event in counts.events if event.kind == "upload" and event.nbytes >= 64 * 64 * 3]
    assert images == ["set"] * 4, counts.table("upload")
    assert counts.largest_download < 64 * 64 * 4 * 3, counts.table("sync")


def make_step(model, dtype=np.float32):
    """Return a function that does a training step as users do, with everything that a GPU is helped by."""
    chain = TrainChain(model)
    chain.to_device("@cupy:0")
    optimizer = optimizers.MomentumSGD(1e-4)
    if dtype == chainer.mixed16:
        use_mixed_precision(optimizer)
    optimizer.setup(chain)
    fuse_updates(optimizer)
    optimizer.add_hook(GradientClipping(10))
    optimizer.add_hook(optimizer_hooks.WeightDecay(1e-4))
    freeze_backbone(model, 3)
    img = np.random.default_rng(0).uniform(0, 255, (3, *SIZE)).astype(np.float32)
    bboxes, labels = [np.array([[10, 10, 60, 70], [30, 50, 120, 150]], np.float32)], [np.array([1, 2], np.int32)]
    return lambda: optimizer.update(chain, [img], bboxes, labels)


def test_a_training_step(model, monkeypatch):
    nodes, apply = [], chainer.FunctionNode.apply
    monkeypatch.setattr(chainer.FunctionNode, "apply", lambda node, x: nodes.append(node.label) or apply(node, x))
    step = make_step(model)
    step()
    assert len(nodes) <= 120, sorted(nodes)
    with fake_cupy.count() as counts:
        step()
    assert counts.syncs <= 6, counts.table("sync")
    assert counts.uploads <= 14, counts.table("upload")
    assert counts.launches <= 700, counts.table("launch")
    assert counts.largest_download <= 64, counts.table("sync")
    once = ("preprocess", "align_forward", "align_backward", "nms_masks", "nms_scan", "decode_boxes", "fused_update")
    names = names_of_launches(counts)
    assert [names[name] for name in once] == [1] * len(once), counts.table("launch")


def test_a_training_step_in_mixed_precision_starts_few_more():
    """Two for the check of the gradients, and casts of losses; the host waits once more, for that check."""
    launches, syncs = [], []
    for dtype in (np.float32, chainer.mixed16):
        with chainer.using_config("dtype", dtype):
            step = make_step(make_slim(), dtype)
            step()
            with fake_cupy.count() as counts:
                step()
        launches.append(counts.launches)
        syncs.append(counts.syncs)
        assert names_of_launches(counts)["fused_update"] == 1, counts.table("launch")
    assert launches[1] <= launches[0] + 25, counts.table("launch")
    assert syncs[1] <= syncs[0] + 1 <= 7, counts.table("sync")


def test_clipping_waits_once_for_any_number_of_parameters(model):
    optimizer = optimizers.SGD().setup(model)
    for param in model.params():
        param.grad = param.xp.ones_like(param.array)
    with fake_cupy.count() as counts:
        GradientClipping(1)(optimizer)
    assert (counts.launches, counts.syncs) == (3, 1), counts.table("launch")


def test_mixed_precision_waits_once_for_any_number_of_parameters(model):
    optimizer = optimizers.SGD().setup(model)
    use_mixed_precision(optimizer)
    for param in model.params():
        param.grad = param.xp.ones_like(param.array)
    with fake_cupy.count() as counts:
        optimizer.check_nan_in_grads()
    assert optimizer.is_safe_to_update()
    assert (counts.launches, counts.syncs) == (2, 1), counts.table("launch")


@pytest.mark.parametrize("is_mixed", [False, True])
def test_an_update_is_one_kernel_for_any_number_of_parameters(is_mixed):
    """Beside two each of clipping and of the check of the gradients."""
    optimizer = optimizers.MomentumSGD(1e-4)
    if is_mixed:
        use_mixed_precision(optimizer)
    fuse_updates(optimizer)
    with chainer.using_config("dtype", np.float16 if is_mixed else np.float32):
        chain = chainer.ChainList(*(L.Linear(8, 8) for _ in range(10)))
    chain.to_device("@cupy:0")
    optimizer.setup(chain)
    optimizer.add_hook(GradientClipping(1e9))
    optimizer.add_hook(optimizer_hooks.WeightDecay(1e-4))
    for param in chain.params():
        param.grad = param.xp.ones_like(param.array)
    optimizer.update()
    with fake_cupy.count() as counts:
        optimizer.update()
    assert counts.launches == (5 if is_mixed else 3), counts.table("launch")
    assert counts.syncs == 1 + is_mixed, counts.table("sync")
