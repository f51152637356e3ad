"""What train chains and ``predict`` take: an entry per image, and arrays of either kind."""

import types

import chainer
import numpy as np
import pytest
from chainer.backends import cuda

from chainfpn.links import Preprocess
from chainfpn.links.classifier import ClassifierPreprocess
from chainfpn.links.detectors.framework_preprocess import ChainerCVPreprocess
from reference.slim_detectors import SLIM, marks, pictures
from reference.training import train_chain

FRESH = types.SimpleNamespace(load_into=lambda link: link)


class StandIn:
    """What an array on a GPU is to NumPy: it has a shape, and is not converted by the way."""

    def __init__(self, array):
        self.array = array
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __len__(self):
        return len(self.array)

    def __array__(self, *args, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def to_gpu(request, monkeypatch):
    """Send arrays to a GPU, or to what stands in for one."""
    if request.param == "gpu":
        return cuda.to_gpu
    to_cpu, types_of_arrays = cuda.to_cpu, chainer.get_array_types()
    monkeypatch.setattr(chainer, "get_array_types", lambda: (*types_of_arrays, StandIn))
    monkeypatch.setattr(cuda, "to_cpu", lambda array: array.array if isinstance(array, StandIn) else to_cpu(array))
    return StandIn


def _build(name):
    slim = SLIM[name]
    pretrained = {"pretrained_model": FRESH} if slim.builder.__name__.startswith("slim") else {}
    model = slim.builder(**slim.options, **pretrained)
    truth = pictures()
    others = [values for key, values in marks(*truth[:2]).items() if key in slim.others]
    return model, (*truth, *others)


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn", "keypoint_rcnn", "retinanet"])
def test_chains_take_arrays_of_either_kind(name, to_gpu):
    model, truth = _build(name)
    chain = train_chain(model, **({"permutation": np.arange} if hasattr(model, "rpn") else {}))
    with chainer.no_backprop_mode():
        losses = [float(chain(*given).array) for given in (truth, [list(map(to_gpu, values)) for values in truth])]
    assert losses[0] == losses[1]


def test_predict_takes_images_of_either_kind(to_gpu):
    model, (imgs, *_) = _build("keypoint_rcnn")
    model.score_thresh = 0.0
    for theirs, ours in zip(model.predict(imgs), model.predict(list(map(to_gpu, imgs))), strict=True):
        for a, b in zip(theirs, ours, strict=True):
            assert type(b) is np.ndarray
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("preprocess", [Preprocess(32, 64), ChainerCVPreprocess(32, 64)])
def test_preparations_take_images_of_either_kind(preprocess, to_gpu):
    (img, _), *_ = pictures()
    x, sizes = preprocess([to_gpu(img)])
    np.testing.assert_array_equal(cuda.to_cpu(x), preprocess([img])[0])
    assert sizes == preprocess([img])[1]


def test_classifiers_take_images_of_either_kind(to_gpu):
    (img, _), *_ = pictures()
    preprocess = ClassifierPreprocess(32, 24)
    np.testing.assert_array_equal(preprocess(to_gpu(img)), preprocess(img))


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn", "keypoint_rcnn", "ssd"])
def test_an_entry_per_image_is_asked_for(name):
    model, truth = _build(name)
    names = ["bboxes", "labels", *SLIM[name].others]
    assert len(names) == len(truth) - 1
    for i, key in enumerate(names, 1):
        short = [values[:1] if k == i else values for k, values in enumerate(truth)]
        plural = key if key.endswith("s") or key == "visible" else f"{key}s"
        with pytest.raises(ValueError, match=f"TrainChain: {plural} must have 2 entries, one per image, got 1"):
            train_chain(model)(*short)
