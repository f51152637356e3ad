"""ChainerCV's own Faster and Mask R-CNN beside ours with the weights from their files: photographs of two sizes."""

from unittest import mock

import chainer
import chainercv.links
import numpy as np
import pytest

import weights_convert
from chainfpn import models
from chainfpn.training import TrainChain
from reference.arrays import assert_same_arrays, saved
from reference.classifier_answers import without_initial_values
from reference.photographs import photographs
from reference.seeded_weights import fill_link

#: Small, and few regions: ChainerCV's RoIAlign is a loop in Python.
MIN_SIZE, MAX_SIZE, N_PROPOSALS, N_CLASS = 192, 256, 5, 3

#: ChainerCV's links; the first has all that the others have.
CASES = [
    pytest.param("MaskRCNNFPNResNet50", marks=pytest.mark.slow),
    *(
        pytest.param(name, marks=pytest.mark.thorough)
        for name in ("FasterRCNNFPNResNet50", "FasterRCNNFPNResNet101", "MaskRCNNFPNResNet101")
    ),
]


def random_detector(name, imgs):
    """Make one of ChainerCV's detectors whose random heads find things of all classes, everywhere."""
    with without_initial_values(), chainer.using_config("train", False), chainer.no_backprop_mode():
        link = getattr(chainercv.links, name)(N_CLASS, min_size=MIN_SIZE, max_size=MAX_SIZE)
        link.use_preset("evaluate")
        hs = link.extractor(np.zeros((1, 3, 64, 64), dtype=np.float32))  # a run gives every layer its shape
        link.rpn(hs)
        rois = [np.zeros((n, 4), dtype=np.float32) for n in (1, 0, 0, 0, 0)]
        for head in ["bbox_head", "mask_head"][: 1 + name.startswith("Mask")]:
            link[head](hs, rois, [np.zeros(len(roi), dtype=np.int32) for roi in rois])
    fill_link(link)
    for norm in link.links():
        if hasattr(norm, "avg_var"):
            norm.gamma.array *= 0.5  # as in trained networks, a block adds little to its input: errors do not grow
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        x, _ = link.prepare(imgs)
        hs = link.extractor(x)
        scale = float(max(np.abs(h.array).std() for h in hs))
        for outer in link.extractor.outer:
            outer.W.array /= scale
        hs = link.extractor(x)
        locs, confs = link.rpn(hs)
        spread(link.rpn.conf, np.concatenate([conf.array.reshape(-1, 3) for conf in confs]), 3)
        spread(link.rpn.loc, np.concatenate([loc.array.reshape(-1, 12) for loc in locs]), 0.3)
        link.rpn._test_nms_limit_post = N_PROPOSALS
        hs, rois, roi_indices = link(x)
        deltas, logits = link.bbox_head(hs, *link.bbox_head.distribute(rois, roi_indices))
        spread(link.bbox_head.conf, logits.array, 2)
        spread(link.bbox_head.loc, deltas.array.reshape(len(deltas), -1), 1)
        if name.startswith("Mask"):
            link.mask_head.seg.W.array *= 10  # masks with holes and islands
    return link


def spread(layer, out, target):
    """Scale and shift a layer so that its outputs have mean 0 and a standard deviation."""
    mean = out.mean(axis=0)
    scale = target / (out - mean).std()
    layer.W.array *= scale
    layer.b.array[...] = (layer.b.array - mean) * scale


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    """ChainerCV's detector, ours from its file, the photographs, and ours as `load` makes it of the file as it is."""
    folder = tmp_path_factory.mktemp("chainercv")
    imgs = [img for name, img in photographs().items() if name != "landscape"]
    theirs = random_detector(request.param, imgs)
    chainer.serializers.save_npz(folder / "chainercv.npz", theirs, compression=False)
    meta = {"min_size": MIN_SIZE, "max_size": MAX_SIZE}
    report = weights_convert.convert(folder / "chainercv.npz", folder / "ours.npz", meta=meta)
    assert report.layout == "ChainerCV FPN"
    with without_initial_values():
        if request.param.startswith("Mask"):
            ours = models.load(folder / "ours.npz")
        else:
            ours = getattr(models, report.model)(pretrained_model=folder / "chainercv.npz", **meta)
        loaded = models.load(folder / "chainercv.npz")
    (folder / "chainercv.npz").unlink()
    ours.rpn.post_nms_top_n_test = N_PROPOSALS
    return theirs, ours, imgs, loaded


def test_batch_maps_and_proposals_are_chainercvs(both):
    theirs, ours, imgs, _ = both
    expected, scales = theirs.prepare(imgs)
    x, sizes = ours.prepare(imgs)
    assert (x == expected).all()
    for img, size, scale in zip(imgs, sizes, scales, strict=True):
        np.testing.assert_allclose(size, np.array(img.shape[1:]) * scale, rtol=1e-12)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        reference, rois, roi_indices = theirs(expected)
        hs = ours.backbone(x)
        for h, like in zip(hs, reference, strict=True):
            assert np.abs(h.array - like.array).max() <= 1e-5 * np.abs(like.array).max()
        anchors = theirs.rpn.anchors(h.shape[2:] for h in hs)
        for anchor, like in zip(ours.rpn.anchors(hs, x.shape[2:]), anchors, strict=True):
            assert (anchor == like).all()
        for i, proposal in enumerate(ours.rpn(hs, sizes, x.shape[2:])):
            np.testing.assert_allclose(proposal, rois[roi_indices == i], atol=1e-3)


@pytest.mark.parametrize("backend", ["cv2", "PIL"])
def test_batch_is_chainercvs_whichever_library_resizes(both, backend):
    pytest.importorskip(backend)
    theirs, ours, imgs, _ = both
    with chainer.using_config("cv_resize_backend", backend):
        np.testing.assert_array_equal(ours.prepare(imgs)[0], theirs.prepare(imgs)[0])


def test_findings_are_chainercvs(both):
    """All but the boxes that ChainerCV returns inside out: they lie in the padding, outside of the image."""
    theirs, ours, imgs, _ = both
    with mock.patch.multiple(theirs, _run_mask=False, _return_values=["bboxes", "labels", "scores"]):
        expected = list(zip(*theirs.predict(imgs), strict=True))
    n_compared = 0
    for reference, (bbox, label, score, *_) in zip(expected, zip(*ours.predict(imgs), strict=True), strict=True):
        inside = (reference[0][:, 2:] > reference[0][:, :2]).all(axis=1)
        assert inside.sum() == len(bbox)
        assert (np.diff(score) <= 0).all()
        i, j = np.lexsort((reference[2][inside], reference[1][inside])), np.lexsort((score, label))
        assert (label[j] == reference[1][inside][i]).all()
        assert np.abs(bbox[j] - reference[0][inside][i]).max() <= 0.05
        assert np.abs(score[j] - reference[2][inside][i]).max() <= 1e-4
        n_compared += len(bbox)
    assert n_compared > 10
    assert len(np.unique(np.concatenate([label for _, label, _ in expected]))) == N_CLASS


def test_masks_are_chainercvs(both):
    """On a photograph that needs no padding, for ChainerCV fails to draw a box that is inside out."""
    pytest.importorskip("cv2", reason="ChainerCV draws masks with OpenCV only")
    theirs, ours, imgs, _ = both
    if not hasattr(ours.roi_heads, "mask_head") or ours.roi_heads.mask_head is None:
        pytest.skip("has no masks")
    img = imgs[0][:, :MAX_SIZE, :MIN_SIZE]
    masks, labels, scores = (values[0] for values in theirs.predict([img]))
    (_,), (label,), (score,), (mask,) = ours.predict([img])
    i, j = np.lexsort((scores, labels)), np.lexsort((score, label))
    assert mask[j].shape == masks[i].shape
    assert len(mask) > 2
    for ours_, like in zip(mask[j], masks[i], strict=True):
        assert (ours_ & like).sum() >= 0.999 * (ours_ | like).sum()
    assert mask.any(axis=0).mean() > 0.05


def test_chainercvs_own_file_loads(both):
    """What ChainerCV's file does not say is as in its detectors: 800 and 1333 pixels."""
    _, ours, imgs, loaded = both
    assert type(loaded) is type(ours)
    assert (loaded.preprocess.min_size, loaded.preprocess.max_size) == (800, 1333)
    assert loaded.n_fg_class == N_CLASS
    assert_same_arrays(saved(loaded), saved(ours))
    loaded.rpn.post_nms_top_n_test = 2
    with (
        mock.patch.object(loaded, "preprocess", ours.preprocess),
        mock.patch.object(ours.rpn, "post_nms_top_n_test", 2),
    ):
        for found, like in zip(loaded.predict(imgs[1:]), ours.predict(imgs[1:]), strict=True):
            assert len(found[0]) > 0
            np.testing.assert_array_equal(found[0], like[0])


def test_a_detector_of_chainercvs_rules_trains():
    widths = {"stages": (2, 3), "fpn_channels": 32, "head_channels": 32}
    model = models.maskrcnn_resnet_fpn(50, 2, rules="chainercv", min_size=64, max_size=96, **widths)
    img = photographs()["small"]  # (3, 111, 161)
    mask = np.zeros((1, *img.shape[1:]), dtype=bool)
    mask[0, 20:80, 30:90] = True
    bbox, label = np.array([[20, 30, 80, 90]], dtype=np.float32), np.array([1], dtype=np.int32)
    assert np.isfinite(TrainChain(model)([img], [bbox], [label], [mask]).array)


def test_rules_are_named():
    with pytest.raises(
        ValueError, match=r"fasterrcnn_resnet_fpn: rules must be one of torchvision, chainercv, .*, got 'caffe'"
    ):
        models.fasterrcnn_resnet_fpn(50, 2, rules="caffe")


@pytest.mark.parametrize(("setting", "value"), [("image_mean", (0.5, 0.5, 0.5)), ("size_divisible", 8)])
def test_the_input_of_chainercvs_rules_is_fixed(setting, value):
    rule = "must be left out under the rules 'chainercv', whose input is fixed"
    with pytest.raises(ValueError, match=f"{setting} {rule}"):
        models.fasterrcnn_resnet_fpn(18, 2, rules="chainercv", **{setting: value})
