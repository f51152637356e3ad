"""Faster R-CNN: torchvision's maps and detections from torchvision's own file, on photographs of several sizes."""

import textwrap

import chainer
import numpy as np
import pytest

from chainfpn import models
from reference.photographs import photographs
from reference.random_networks import RANDOM_NETWORKS

#: Small, so that the comparison in float64, which torch computes slowly, stays short; one photograph is smaller still.
MIN_SIZE = 240

#: How torchvision's detector is made to find hundreds of things, and what it says of the photographs.
CODE = RANDOM_NETWORKS + textwrap.dedent(
    """
    from torchvision.models.detection import fasterrcnn_resnet50_fpn
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=int(inputs["min_size"])).eval()
    imgs = [torch.from_numpy(inputs[str(name)]) / 255 for name in inputs["names"]]
    first = lambda: model(imgs[:1])
    trunk = lambda: model.backbone.body(model.transform(imgs[:1])[0].tensors)
    settle(model, trunk, 0)
    head, box = model.rpn.head, model.roi_heads.box_predictor
    spread(first, (head.cls_logits, 3), (head.bbox_pred, 0.3))
    spread(first, (box.cls_score, 3), (box.bbox_pred, 1))
    torch.save(model.state_dict(), folder / "zip.pth")
    torch.save(model.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    for dtype in (torch.float32, torch.float64):
        model = model.to(dtype)
        batch = [torch.from_numpy(inputs[str(name)]).to(dtype) / 255 for name in inputs["names"]]
        with torch.no_grad():
            for i, h in enumerate(model.backbone(model.transform(batch)[0].tensors).values()):
                outputs[f"{dtype} map{i}"] = h
            found = {"together": model(batch), "alone": [model([img])[0] for img in batch]}
        for kind, results in found.items():
            for name, result in zip(inputs["names"], results):
                for key, value in result.items():
                    outputs[f"{dtype} {name} {kind} {key}"] = value
    """
)


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory):
    """A folder with torchvision's checkpoint in both serialisations, the photographs, and its answers."""
    folder = tmp_path_factory.mktemp("fasterrcnn")
    imgs = photographs()
    outputs = torchvision_live.run(CODE, folder=folder, names=np.array(list(imgs)), min_size=MIN_SIZE, **imgs)
    return folder, imgs, outputs


@pytest.fixture(scope="module", params=["float32", "float64"])
def ours(request, theirs):
    """Our detector from the same file, in the same precision."""
    folder, _, _ = theirs
    file = {"float32": "zip.pth", "float64": "legacy.pth"}[request.param]
    with chainer.using_config("dtype", np.dtype(request.param)):
        yield request.param, models.fasterrcnn_resnet50_fpn(pretrained_model=folder / file, min_size=MIN_SIZE)


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


def test_detections_are_torchvisions(theirs, ours):
    """All of them in float64; in float32 where torchvision agrees with itself in float64.

    Random boxes overlap so much that a rounding error can turn a suppression, and with it all that follow;
    torchvision's own two answers then differ as much as ours.
    """
    _, imgs, expected = theirs
    dtype, model = ours
    found = {
        "together": list(zip(*model.predict(imgs.values()), strict=True)),
        "alone": [next(zip(*model.predict([img]), strict=True)) for img in imgs.values()],
    }
    n_compared = 0
    for kind, images in found.items():
        for name, image in zip(imgs, images, strict=True):
            exact, reference = (_theirs(expected, f"torch.{d} {name} {kind}") for d in ("float64", dtype))
            if not _differences(exact, reference):
                assert _differences(reference, image) == []
                n_compared += len(image[0])
    assert n_compared > 200


def test_types_of_the_detections(theirs, ours):
    _, imgs, _ = theirs
    (bbox,), (label,), (score,) = ours[1].predict([imgs["small"]])
    assert (bbox.dtype, label.dtype, score.dtype) == (np.float32, np.int32, np.float32)
    assert (np.diff(score) <= 0).all()


def _theirs(expected, prefix):
    """Return torchvision's boxes, labels and scores as ours, without those of outputs that no COCO category has."""
    boxes, outputs, scores = (expected[f"{prefix} {key}"] for key in ("boxes", "labels", "scores"))
    named = np.isin(outputs, models.COCO_OUTPUTS)
    return boxes[named][:, [1, 0, 3, 2]], np.searchsorted(models.COCO_OUTPUTS, outputs[named]), scores[named]


def _differences(reference, image):
    """List the detections of the first that have not exactly one equal in the second, and a difference in number."""
    bbox, label, score = image
    differences = [] if len(bbox) == len(reference[0]) else [(len(reference[0]), len(bbox))]
    for box, name, confidence in zip(*reference, strict=True):
        alike = (label == name) & (np.abs(bbox - box).max(axis=1) < 0.05) & (np.abs(score - confidence) < 1e-4)
        if alike.sum() != 1:
            differences.append((box, name, confidence))
    return differences
