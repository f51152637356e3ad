"""Faster R-CNN: torchvision's maps and detections from torchvision's own file, on photographs of several sizes."""

import hashlib
import json
import textwrap

import chainer
import numpy as np
import pytest

from chainfpn import WeightsError, models
from chainfpn.data import weights_path
from chainfpn.functions.kernels import convolution
from reference.classifier_answers import without_initial_values
from reference.photographs import photographs
from reference.random_networks import RANDOM_NETWORKS
from weights_convert import api, zoo

#: Small, so that the comparison in float64, which torch computes slowly, stays short; one photograph is smaller still.
#: Few proposals of a thousand, for most of the time goes into their large head.
OPTIONS = {"min_size": 128, "rpn_post_nms_top_n_test": 250}

#: How torchvision's detector is made to find hundreds of things, and what it says of the photographs.
CODE = RANDOM_NETWORKS + textwrap.dedent(
    """
    from torchvision.models.detection import fasterrcnn_resnet50_fpn
    from torchvision.models.detection._utils import overwrite_eps
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    options = {name: int(inputs[name]) for name in ("min_size", "rpn_post_nms_top_n_test")}
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **options).eval()
    imgs = [torch.from_numpy(inputs[str(name)]) / 255 for name in inputs["names"]]
    first, _ = model.transform(imgs[:1])
    settle(model, lambda: model.backbone.body(first.tensors), 0)
    with torch.no_grad():
        features = model.backbone(first.tensors)
    head, box = model.rpn.head, model.roi_heads.box_predictor
    spread(lambda: head(list(features.values())), (head.cls_logits, 3), (head.bbox_pred, 0.3))
    found = lambda: model.roi_heads(features, model.rpn(first, features)[0], first.image_sizes)
    spread(found, (box.cls_score, 3), (box.bbox_pred, 1))
    torch.save(model.state_dict(), folder / "zip.pth")
    torch.save(model.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    for dtype in (torch.float32, torch.float64):
        model = model.to(dtype)
        batch = [torch.from_numpy(inputs[str(name)]).to(dtype) / 255 for name in inputs["names"]]
        maps = []
        hook = model.backbone.register_forward_hook(lambda module, args, out: maps.append(out))
        with torch.no_grad():
            found = {"together": model(batch), "alone": [model([img])[0] for img in batch]}
        hook.remove()
        for i, h in enumerate(maps[0].values()):
            outputs[f"{dtype} map{i}"] = h
        for kind, results in found.items():
            for name, result in zip(inputs["names"], results):
                for key, value in result.items():
                    outputs[f"{dtype} {name} {kind} {key}"] = value
    frozen = resnet_fpn_backbone(backbone_name="resnet50", weights=None).eval().double()
    frozen.load_state_dict(model.backbone.state_dict())
    overwrite_eps(frozen, 0.0)
    with torch.no_grad():
        for i, h in enumerate(frozen(model.transform(batch[:1])[0].tensors).values()):
            outputs[f"map{i} without epsilon"] = h
    """
)


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory):
    """A folder with torchvision's checkpoint in both serializations, the photographs, and its answers."""
    folder = tmp_path_factory.mktemp("fasterrcnn")
    imgs = photographs()
    outputs = torchvision_live.run(CODE, folder=folder, names=np.array(list(imgs)), **OPTIONS, **imgs)
    return folder, imgs, outputs


@pytest.fixture(scope="module", params=["float32", "float64"])
def ours(request, theirs):
    """Our detector from the same file, in the same precision."""
    folder, _, _ = theirs
    file = {"float32": "zip.pth", "float64": "legacy.pth"}[request.param]
    with chainer.using_config("dtype", np.dtype(request.param)):
        with without_initial_values():
            model = models.fasterrcnn_resnet50_fpn(pretrained_model=folder / file, **OPTIONS)
        yield request.param, model


def test_maps_are_torchvisions(theirs, ours):
    _, imgs, expected = theirs
    dtype, model = ours
    tolerance = {"float32": 1e-4, "float64": 1e-10}[dtype]
    x, _ = model.prepare(imgs.values())
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        hs = model.backbone(x)
    assert len(hs) == 5
    for i, h in enumerate(hs):
        reference = expected[f"torch.{dtype} map{i}"]
        assert h.dtype == dtype
        error = float(np.abs(h.array - reference).max() / np.abs(reference).max())
        assert error <= tolerance, i


@pytest.mark.parametrize(
    ("ours", "winograd"),
    [("float32", True), ("float32", False), ("float64", False)],
    ids=["float32-winograd", "float32-direct", "float64"],
    indirect=["ours"],
    scope="module",
)
def test_detections_are_torchvisions(theirs, ours, winograd, monkeypatch):
    """All of them in float64; in float32 where torchvision agrees with itself in float64.

    Random boxes overlap so much that a rounding error can turn a suppression, and with it all that follow;
    torchvision's own two answers then differ as much as ours. Winograd's rounding errors, in float32 only, are larger
    than those of a plain sum, and turn one image more; convolved directly, every image is torchvision's.
    """
    _, imgs, expected = theirs
    dtype, model = ours
    if not winograd:
        monkeypatch.setattr(convolution, "_winograd_for", lambda *args: None)
    found = {
        "together": list(zip(*model.predict(imgs.values()), strict=True)),
        "alone": [next(zip(*model.predict([img]), strict=True)) for img in imgs.values()],
    }
    n_compared, turned = 0, []
    for kind, images in found.items():
        for name, image in zip(imgs, images, strict=True):
            exact, reference = (_theirs(expected, f"torch.{d} {name} {kind}") for d in ("float64", dtype))
            if _differences(exact, reference):
                continue
            differences = _differences(reference, image)
            if differences:
                turned.append((kind, name, differences))
            else:
                n_compared += len(image[0])
    assert len(turned) <= winograd, turned
    assert n_compared > 200


def test_types_of_the_detections(theirs, ours):
    _, imgs, _ = theirs
    (bbox,), (label,), (score,) = ours[1].predict([imgs["small"]])
    assert (bbox.dtype, label.dtype, score.dtype) == (np.float32, np.int32, np.float32)
    assert (np.diff(score) <= 0).all()


def _theirs(expected, prefix):
    """Return torchvision's boxes, labels and scores as ours, without those of outputs that no COCO category has."""
    boxes, outputs, scores = (expected[f"{prefix} {key}"] for key in ("boxes", "labels", "scores"))
    named = np.isin(outputs, models.COCO_CLASS_IDS)
    return boxes[named][:, [1, 0, 3, 2]], np.searchsorted(models.COCO_CLASS_IDS, outputs[named]), scores[named]


def _differences(reference, image):
    """List the detections of the first that have not exactly one equal in the second, and a difference in number."""
    bbox, label, score = image
    differences = [] if len(bbox) == len(reference[0]) else [(len(reference[0]), len(bbox))]
    for box, name, confidence in zip(*reference, strict=True):
        alike = (label == name) & (np.abs(bbox - box).max(axis=1) < 0.05) & (np.abs(score - confidence) < 1e-4)
        if alike.sum() != 1:
            differences.append((box, name, confidence))
    return differences


def _norms(model):
    """Return the normalizations of a detector."""
    return [link for link in model.links() if hasattr(link, "avg_var")]


def test_coco_is_torchvisions_published_file(theirs, monkeypatch):
    folder, _, _ = theirs
    asked = []
    monkeypatch.setattr(zoo, "fetch", lambda name: asked.append(name) or folder / "zip.pth")
    model = models.fasterrcnn_resnet50_fpn(pretrained_model="coco", **OPTIONS)
    assert asked == ["fasterrcnn_resnet50_fpn"]
    assert model.n_fg_class == len(model.label_names) == 80
    assert model.label_names[0] == "person"
    assert {link.eps for link in _norms(model)} == {1e-5}


def test_published_file_is_run_without_epsilon(theirs, monkeypatch):
    """A file with a hash for which torchvision overwrites the epsilon: its maps are those of torchvision doing that."""
    folder, imgs, expected = theirs
    digest = hashlib.sha256((folder / "zip.pth").read_bytes()).hexdigest()
    published = ("fasterrcnn_resnet50_fpn", {"norm_eps": 0.0})
    monkeypatch.setattr(api, "published_model", lambda sha256: published if sha256 == digest else None)
    monkeypatch.setattr(zoo, "fetch", lambda name: folder / "zip.pth")
    with chainer.using_config("dtype", np.dtype("float64")), chainer.using_config("train", False):
        model = models.fasterrcnn_resnet50_fpn(pretrained_model="coco", **OPTIONS)
        x, _ = model.prepare(list(imgs.values())[:1])
        with chainer.no_backprop_mode():
            hs = model.backbone(x)
    assert len(_norms(model)) == 53
    assert {link.eps for link in _norms(model)} == {0.0}
    for i, h in enumerate(hs):
        reference = expected[f"map{i} without epsilon"]
        assert float(np.abs(h.array - reference).max() / np.abs(reference).max()) <= 1e-10, i


def test_building_without_weights_is_cocos_detector():
    model = models.fasterrcnn_resnet50_fpn()
    assert (model.n_fg_class, model.roi_heads.box_predictor.cls_score.W.shape) == (80, (91, 1024))


@pytest.fixture
def in_float32():
    """Undo the precision of the fixtures above, which last as long as this module."""
    with chainer.using_config("dtype", np.dtype("float32")):
        yield


@pytest.mark.usefixtures("in_float32")
def test_options_shape_the_detector_and_building_twice_changes_nothing():
    options = {"stages": (2, 3), "fpn_channels": 32, "head_channels": 48, "n_fg_class": 3}
    first = models.fasterrcnn_resnet_fpn(18, **options)
    first.backbone.body.bn1.gamma[:] = 0
    first.rpn.anchor_generator.sizes = [[1.0]]
    second = models.fasterrcnn_resnet_fpn(18, **options)
    assert (second.backbone.body.bn1.gamma == 1).all()
    assert second.rpn.anchor_generator.sizes == ((32.0,), (64.0,), (128.0,))
    assert second.roi_heads.box_head.fc6.W.shape == (48, 32 * 49)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        hs = second.backbone(np.zeros((1, 3, 64, 96), dtype=np.float32))
    assert [h.shape for h in hs] == [(1, 32, 8, 12), (1, 32, 4, 6), (1, 32, 2, 3)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 20}, "depth must be 18, 34, 50, 101, 152 or one of resnet18, .*, got 20"),
        ({"stages": (1, 3)}, r"stages must be consecutive numbers in 1 to 4, got \(1, 3\)"),
        ({"stages": (3, 4), "anchor_sizes": [[32]]}, "anchor_sizes must have 3 entries, one per level, got 1"),
    ],
)
def test_bad_options_are_named(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        models.fasterrcnn_resnet_fpn(n_fg_class=1, **options)


def test_weights_of_another_model_are_refused():
    """A file of a ResNet-18 detector never makes the ResNet-50 builder build a ResNet-18."""
    with pytest.raises(WeightsError, match=r"person\.npz: its model has depth 18, which this builder has not"):
        models.fasterrcnn_resnet50_fpn(pretrained_model=weights_path())


@pytest.mark.usefixtures("in_float32")
def test_what_the_file_says_of_the_trunk_is_heeded(tmp_path):
    options = {"stages": (1, 2), "fpn_channels": 16, "head_channels": 8, "n_fg_class": 1}
    source = models.fasterrcnn_resnet_fpn(50, **options)
    chainer.serializers.save_npz(tmp_path / "plain.npz", source)
    meta = {"model": "fasterrcnn_resnet_fpn", "arguments": {**options, "stride_in_1x1": True, "norm_eps": 2e-5}}
    with np.load(tmp_path / "plain.npz") as arrays:
        np.savez(tmp_path / "caffe.npz", __meta__=json.dumps(meta), **arrays)
    link = models.load(tmp_path / "caffe.npz")
    assert link.backbone.body.layer2[0].conv1.stride == (2, 2)
    assert link.backbone.body.bn1.eps == 2e-5
