"""Faster R-CNN: torchvision's maps and detections from torchvision's own file, on photographs of several sizes."""

import textwrap

import chainer
import numpy as np
import pytest

from chainfpn import models
from reference.photographs import photographs
from reference.random_networks import RANDOM_NETWORKS

#: How torchvision's detector is made to find hundreds of things, and what it says of the photographs.
CODE = RANDOM_NETWORKS + textwrap.dedent(
    """
    from torchvision.models.detection import fasterrcnn_resnet50_fpn
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=int(inputs["min_size"])).eval()
    imgs = [torch.from_numpy(inputs[str(name)] / np.float32(255)) for name in inputs["names"]]
    first = lambda: model(imgs[:1])
    trunk = lambda: model.backbone.body(model.transform(imgs[:1])[0].tensors)
    settle(model, trunk, 0)
    head, box = model.rpn.head, model.roi_heads.box_predictor
    spread(first, (head.cls_logits, 3), (head.bbox_pred, 0.3))
    spread(first, (box.cls_score, 3), (box.bbox_pred, 1))
    torch.save(model.state_dict(), folder / "zip.pth")
    torch.save(model.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    for dtype in (torch.float32, torch.float64):
        model, batch = model.to(dtype), [img.to(dtype) for img in imgs]
        with torch.no_grad():
            for name, img in zip(inputs["names"], batch):
                for i, h in enumerate(model.backbone(model.transform([img])[0].tensors).values()):
                    outputs[f"{dtype} {name} map{i}"] = h
            for kind, results in (("alone", [model([img])[0] for img in batch]), ("together", model(batch))):
                for name, found in zip(inputs["names"], results):
                    for key, value in found.items():
                        outputs[f"{dtype} {name} {kind} {key}"] = value
    """
)


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory):
    """A folder with torchvision's checkpoint in both serialisations, the photographs, and its answers."""
    folder = tmp_path_factory.mktemp("fasterrcnn")
    imgs = photographs()
    outputs = torchvision_live.run(CODE, folder=folder, names=np.array(list(imgs)), min_size=400, **imgs)
    return folder, imgs, outputs


@pytest.fixture(scope="module", params=["float32", "float64"])
def ours(request, theirs):
    """Our detector from the same file, in the same precision."""
    folder, _, _ = theirs
    file = {"float32": "zip.pth", "float64": "legacy.pth"}[request.param]
    with chainer.using_config("dtype", np.dtype(request.param)):
        yield request.param, models.fasterrcnn_resnet50_fpn(pretrained_model=folder / file, min_size=400)


def test_maps_are_torchvisions(theirs, ours):
    _, imgs, expected = theirs
    dtype, model = ours
    tolerance = {"float32": 1e-4, "float64": 1e-10}[dtype]
    for name, img in imgs.items():
        x, _ = model.prepare([img])
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            hs = model.backbone(x)
        assert len(hs) == 5
        for i, h in enumerate(hs):
            reference = expected[f"torch.{dtype} {name} map{i}"]
            assert h.dtype == dtype
            assert np.abs(h.array - reference).max() <= tolerance * np.abs(reference).max(), (name, i)


def test_detections_are_torchvisions(theirs, ours):
    _, imgs, expected = theirs
    dtype, model = ours
    alone = [model.predict([img]) for img in imgs.values()]
    results = {"alone": [sum(lists, []) for lists in zip(*alone, strict=True)], "together": model.predict(imgs.values())}
    for kind, (bboxes, labels, scores) in results.items():
        n_boxes = 0
        for name, bbox, label, score in zip(imgs, bboxes, labels, scores, strict=True):
            said = {key: expected[f"torch.{dtype} {name} {kind} {key}"] for key in ("boxes", "labels", "scores")}
            compare(said, bbox, label, score)
            n_boxes += len(bbox)
        assert n_boxes > 150


def compare(said, bbox, label, score):
    """Assert that detections are torchvision's, leaving out what it found on outputs without a COCO category."""
    named = np.isin(said["labels"], models.COCO_OUTPUTS)
    boxes, scores = said["boxes"][named][:, [1, 0, 3, 2]], said["scores"][named]
    labels = np.searchsorted(models.COCO_OUTPUTS, said["labels"][named])
    assert len(bbox) == len(boxes)
    assert bbox.dtype == score.dtype == np.float32
    assert label.dtype == np.int32
    for i, box in enumerate(boxes):
        alike = (label == labels[i]) & (np.abs(bbox - box).max(axis=1) < 0.05) & (np.abs(score - scores[i]) < 1e-4)
        assert alike.sum() == 1, (box, labels[i], scores[i])
