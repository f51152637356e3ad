"""Each detector, segmenter and classifier of ChainerCV predicts on a photograph; those that train have a gradient."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainercv import experimental, links
from chainercv.experimental.links.model.fcis import FCISTrainChain
from chainercv.links.model.faster_rcnn import FasterRCNNTrainChain
from chainercv.links.model.fpn import (
    bbox_head_loss_post,
    bbox_head_loss_pre,
    mask_head_loss_post,
    mask_head_loss_pre,
    rpn_loss,
)
from chainercv.links.model.ssd import multibox_loss

from reference.photographs import photographs

pytestmark = pytest.mark.slow  # all of them together
N_CLASS = 3
BBOX = np.array([[10, 20, 80, 90], [30, 5, 60, 70]], dtype=np.float32)
LABEL = np.array([0, 2], dtype=np.int32)
SMALL = {"min_size": 96, "max_size": 160}
#: ChainerCV's RoIAlign is a loop in Python.
N_REGIONS = 1
PROPOSALS = {"anchor_scales": [2, 4, 8], "proposal_creator_params": {"n_train_post_nms": 12, "n_test_post_nms": 8}}


@pytest.fixture(scope="module")
def img():
    return photographs()["small"]  # (3, 111, 161)


@pytest.fixture(scope="module", autouse=True)
def fast_weights():
    """Draw random weights by tiling a few: large layers take seconds otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        few = np.random.default_rng(0).standard_normal(4099, dtype=np.float32)

        def normal(self, array):
            scale = self.scale if hasattr(self, "scale") else 0.01
            array[...] = np.resize(few * np.float32(min(scale, 0.01)), array.shape)

        for name in ("Normal", "LeCunNormal", "HeNormal", "GlorotNormal"):
            patch.setattr(getattr(chainer.initializers, name), "__call__", normal)
        yield


def boxes_are_sound(bboxes, labels, scores):
    (bbox,), (label,), (score,) = bboxes, labels, scores
    assert bbox.shape == (len(label), 4)
    assert bbox.dtype == np.float32
    assert label.dtype == np.int32
    assert set(label) <= set(range(N_CLASS))
    assert score.shape == label.shape


def has_gradient(link, loss):
    assert np.isfinite(float(loss.array))
    link.cleargrads()
    loss.backward()
    assert any(param.grad is not None and np.abs(param.grad).max() > 0 for param in link.params())


DETECTORS = {
    "SSD300": lambda: links.SSD300(N_CLASS),
    "SSD512": lambda: links.SSD512(N_CLASS),
    "YOLOv2": lambda: links.YOLOv2(N_CLASS),
    "YOLOv2Tiny": lambda: experimental.links.YOLOv2Tiny(N_CLASS),
    "YOLOv3": lambda: links.YOLOv3(N_CLASS),
    "FasterRCNNVGG16": lambda: links.FasterRCNNVGG16(N_CLASS, **SMALL, **PROPOSALS),
    "FasterRCNNFPNResNet50": lambda: links.FasterRCNNFPNResNet50(N_CLASS, **SMALL),
    "FasterRCNNFPNResNet101": lambda: links.FasterRCNNFPNResNet101(N_CLASS, **SMALL),
}


def but_for_deeper(names):
    """Mark what has the parts of a smaller network, only more of them."""
    deeper = ("Net101", "NeXt101", "Net152", "SSD512")
    return [pytest.param(name, marks=pytest.mark.thorough) if name.endswith(deeper) else name for name in names]


@pytest.mark.parametrize("name", but_for_deeper(DETECTORS))
def test_a_detector_predicts(name, img):
    link = DETECTORS[name]()
    link.use_preset("evaluate")
    if "FPN" in name:
        link.rpn._test_nms_limit_post = N_REGIONS
    elif not name.startswith("Faster"):
        link.score_thresh = 0.3  # random weights give thousands of boxes with a score near 1 / 4
    boxes_are_sound(*link.predict([img]))


@pytest.mark.parametrize("name", [*but_for_deeper(["MaskRCNNFPNResNet50", "MaskRCNNFPNResNet101"]), "FCISResNet101"])
def test_an_instance_segmenter_predicts(name, img):
    if name == "FCISResNet101":
        link = experimental.links.FCISResNet101(N_CLASS, iter2=False, **SMALL, **PROPOSALS)
    else:
        link = getattr(links, name)(N_CLASS, **SMALL)
        link.rpn._test_nms_limit_post = N_REGIONS
    link.use_preset("evaluate")
    (mask,), (label,), (score,) = link.predict([img])
    assert mask.shape == (len(label), *img.shape[1:])
    assert mask.dtype == bool
    assert score.shape == label.shape


@pytest.mark.parametrize(
    "make",
    [
        lambda: links.SegNetBasic(N_CLASS),
        lambda: experimental.links.PSPNetResNet50(N_CLASS, input_size=(65, 65)),
        lambda: experimental.links.PSPNetResNet101(N_CLASS, input_size=(65, 65)),
        lambda: links.DeepLabV3plusXception65(N_CLASS, min_input_size=(65, 65)),
    ],
    ids=["SegNetBasic", "PSPNetResNet50", "PSPNetResNet101", "DeepLabV3plusXception65"],
)
def test_a_semantic_segmenter_predicts(make, img):
    img = img[:, :64, :96]
    link = make()
    (label,) = link.predict([img])
    assert label.shape == img.shape[1:]
    assert set(np.unique(label)) <= set(range(N_CLASS))


CLASSIFIERS = ("ResNet50", "ResNet101", "ResNet152", "SEResNet50", "SEResNet101", "SEResNet152")


@pytest.mark.parametrize("name", but_for_deeper([*CLASSIFIERS, "SEResNeXt50", "SEResNeXt101", "VGG16"]))
def test_a_classifier_predicts(name, img):
    link = getattr(links, name)(N_CLASS, **{"arch": "he"} if name.startswith("ResNet") else {})
    size = {"crop_size": 224, "scale_size": 224} if name == "VGG16" else {"crop_size": 64, "scale_size": 64}
    predictor = links.FeaturePredictor(link, **size)
    assert predictor.predict([img]).shape == (1, N_CLASS)


def test_faster_rcnn_trains(img):
    chain = FasterRCNNTrainChain(links.FasterRCNNVGG16(N_CLASS, **SMALL, **PROPOSALS))
    has_gradient(chain, chain(img[None], BBOX[None], LABEL[None], np.array([1.0])))


def test_fcis_trains(img):
    chain = FCISTrainChain(experimental.links.FCISResNet101(N_CLASS, iter2=False, **SMALL, **PROPOSALS))
    mask = np.zeros((1, 2, *img.shape[1:]), dtype=bool)
    for i, (top, left, bottom, right) in enumerate(BBOX.astype(int)):
        mask[0, i, top:bottom, left:right] = True
    has_gradient(chain, chain(img[None], mask, LABEL[None], BBOX[None], np.array(1.0)))


def test_ssd_trains(img):
    link = links.SSD300(N_CLASS)
    mb_locs, mb_confs = link(link._prepare(img)[None])
    gt_loc, gt_label = link.coder.encode(BBOX * 2, LABEL)
    loc_loss, conf_loss = multibox_loss(mb_locs, mb_confs, gt_loc[None], gt_label[None], 3)
    has_gradient(link, loc_loss + conf_loss)


def test_a_segmenter_trains(img):
    chain = links.PixelwiseSoftmaxClassifier(links.SegNetBasic(N_CLASS))
    label = np.random.default_rng(0).integers(-1, N_CLASS, (1, 64, 96), dtype=np.int32)
    has_gradient(chain, chain(img[None, :, :64, :96], label))


def test_a_classifier_trains(img):
    chain = chainer.links.Classifier(links.SEResNet50(N_CLASS))
    has_gradient(chain, chain(img[None, :, :64, :64], np.array([1], dtype=np.int32)))


def test_an_fpn_detector_trains(img):
    """As the script examples/fpn/train_multi.py of ChainerCV does."""
    model = links.MaskRCNNFPNResNet50(N_CLASS, min_size=96, max_size=96)
    x, _ = model.prepare([img])
    bbox = BBOX / 2
    with chainer.using_config("train", False):
        hs = model.extractor(x)
    rpn_locs, rpn_confs = model.rpn(hs)
    anchors = model.rpn.anchors(h.shape[2:] for h in hs)
    losses = list(rpn_loss(rpn_locs, rpn_confs, anchors, [x.shape[2:]], [bbox]))
    rois = bbox + 1
    rois, roi_indices = model.bbox_head.distribute(rois, np.zeros(len(rois), dtype=np.int32))
    rois, roi_indices, gt_locs, gt_labels = bbox_head_loss_pre(rois, roi_indices, model.bbox_head.std, [bbox], [LABEL])
    losses += bbox_head_loss_post(*model.bbox_head(hs, rois, roi_indices), roi_indices, gt_locs, gt_labels, 1)
    mask = np.zeros((2, *x.shape[2:]), dtype=bool)
    mask[:, 10:40, 10:40] = True
    mask_rois, mask_indices, gt_segms, gt_mask_labels = mask_head_loss_pre(
        rois, roi_indices, [mask], [bbox], gt_labels, model.mask_head.segm_size
    )
    assert sum(map(len, mask_rois)) > 0
    segms = model.mask_head(hs, mask_rois, mask_indices)
    losses.append(mask_head_loss_post(segms, mask_indices, gt_segms, gt_mask_labels, 1))
    has_gradient(model, sum(F.sum(loss) for loss in losses))
