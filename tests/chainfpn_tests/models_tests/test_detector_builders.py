"""Builders of detectors: options, independence of what they build, half precision."""

import inspect

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.models import _options, faster_rcnn
from reference.classifier_answers import without_initial_values
from reference.photographs import photographs
from weights_convert.architectures import candidates

#: Builders on any ResNet, of two stages and of one.
TWO_STAGES = [name for name in models.MODELS if name.endswith(("rcnn_resnet_fpn", "rcnn_resnet_fpn_v2"))]
ONE_STAGE = [name for name in models.MODELS if name.startswith(("retinanet_resnet_fpn", "fcos_resnet_fpn"))]


def small(name, **options):
    """Build a detector of three labels as small as it can be."""
    widths = {"fpn_channels": 32} | ({"head_channels": 32} if name in TWO_STAGES else {})
    model = getattr(models, name)(18, 3, **widths, **{"min_size": 64, **options})
    if name in TWO_STAGES:
        model.rpn.post_nms_top_n_test, model.roi_heads.detections_per_img = 10, 1
    return model


def test_every_family_has_a_builder_on_any_resnet():
    assert len(TWO_STAGES) >= 4
    assert len(ONE_STAGE) >= 3


@pytest.mark.parametrize("name", TWO_STAGES + ONE_STAGE)
def test_the_second_is_not_the_first(name):
    first, second = small(name), small(name)
    before = {path: param.array.copy() for path, param in second.namedparams()}
    for param in first.params():
        param.array[...] = 7
    assert all((param.array == before[path]).all() for path, param in second.namedparams())
    assert set(before) == {path for path, _ in first.namedparams()}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, chainer.mixed16) for name in TWO_STAGES + ONE_STAGE]
    + [(name, np.float16) for name in ("fasterrcnn_resnet_fpn", "retinanet_resnet_fpn_v2")],
)
def test_half_precision_predicts(name, dtype):
    with chainer.using_config("dtype", dtype):
        model = small(name)
        model.score_thresh = 0.0
        found = next(zip(*model.predict([photographs()["small"]]), strict=True))
    bbox, label, score = found[:3]
    assert len(bbox) == len(label) == len(score) > 0
    assert all(len(more) == len(bbox) for more in found[3:])
    assert (bbox.dtype, label.dtype, score.dtype) == (np.float32, np.int32, np.float32)
    assert np.isfinite(bbox).all()
    assert (label >= 0).all()
    assert (label < 3).all()


@pytest.mark.parametrize("name", TWO_STAGES + ONE_STAGE)
def test_nothing_found(name):
    model = small(name)
    model.score_thresh = 1.0
    bbox, label, score, *more = next(zip(*model.predict([photographs()["small"]]), strict=True))
    assert bbox.shape == (0, 4)
    assert len(label) == len(score) == 0
    extra = {"mask": [(0, 111, 161)], "keypoint": [(0, 17, 2), (0, 17)]}
    assert [array.shape for array in more] == next((shapes for kind, shapes in extra.items() if kind in name), [])


@pytest.mark.parametrize("name", TWO_STAGES)
def test_nothing_proposed(name):
    model = small(name)
    model.rpn.min_size = 1e6
    bbox, label, score, *_ = next(zip(*model.predict([photographs()["small"]]), strict=True))
    assert bbox.shape == (0, 4)
    assert len(label) == len(score) == 0


@pytest.mark.parametrize("name", TWO_STAGES + ONE_STAGE)
def test_any_stages(name):
    model = small(name, stages=(3, 4))
    assert model.backbone.body.pick == ("layer3", "layer4")


@pytest.mark.parametrize(
    ("trunk", "groups", "shape"),
    [("resnext50_32x4d", 32, (256, 8, 3, 3)), ("wide_resnet50_2", 1, (256, 256, 3, 3))],
)
@pytest.mark.parametrize("name", TWO_STAGES + ONE_STAGE)
def test_any_trunk(name, trunk, groups, shape):
    with without_initial_values():
        model = getattr(models, name)(trunk, 3, fpn_channels=32, stages=(2,))
    convolution = model.backbone.body.layer2[0].conv2
    assert (convolution.groups, convolution.W.shape) == (groups, shape)


#: Chainer's names of what torch saves, to torch's.
LEAVES = {
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "avg_mean": "running_mean",
    "avg_var": "running_var",
}


@pytest.mark.parametrize("stages", [(1, 2, 3, 4), (2, 3, 4)])
@pytest.mark.parametrize("name", TWO_STAGES + ONE_STAGE)
def test_converter_expects_the_names_of_the_link(name, stages):
    shapes = {}
    for path, link in small(name, stages=stages).namedlinks():
        for leaf in (link._params | link._persistent) & set(LEAVES):
            shapes[f"{path.strip('/').replace('/', '.')}.{LEAVES[leaf]}"] = getattr(link, leaf).shape
    found = candidates(shapes)[0]
    assert found.shapes == shapes
    assert found.builder == name
    usual = (2, 3, 4) if name in ONE_STAGE else (1, 2, 3, 4)
    assert tuple(found.arguments.get("stages", usual)) == stages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": (1, 3)}, "stages must be consecutive numbers in 1 to 4"),
        ({"depth": 19}, "depth must be 18, 34"),
        ({"anchor_sizes": ((32,),)}, "anchor_sizes must have 5 entries"),
    ],
)
@pytest.mark.parametrize("name", TWO_STAGES + ONE_STAGE)
def test_options_out_of_range(name, options, message):
    with pytest.raises(ValueError, match=f"{name}: {message}"):
        getattr(models, name)(**{"depth": 18, "n_fg_class": 2, **options})


@pytest.mark.parametrize("name", [name for name in models.MODELS if name.startswith("fasterrcnn_mobilenet")])
def test_a_mobilenet_has_no_bottlenecks_to_stride(name):
    with pytest.raises(ValueError, match=f"{name}: stride_in_1x1 must be False for a MobileNet, got True"):
        models.MODELS[name].builder(2, stride_in_1x1=True)


def test_epsilon_reaches_every_batch_normalization():
    for name in TWO_STAGES + ONE_STAGE:
        norms = [link for link in small(name, norm_eps=0.25).links() if hasattr(link, "avg_var")]
        assert norms
        assert {link.eps for link in norms} == {0.25}


@pytest.mark.parametrize("name", [name for name in models.MODELS if "rcnn" in name or "_fpn" in name])
def test_documentation_names_every_argument(name):
    builder = models.MODELS[name].builder
    assert builder.__name__ == name
    assert builder is getattr(models, name)
    modules = (inspect.getmodule(builder), _options, faster_rcnn)
    documented = " ".join(
        value.__doc__ or "" for module in modules for value in vars(module).values() if inspect.isclass(value)
    )
    for option in models.MODELS[name].options - {"depth", "n_fg_class", "pretrained_model"}:
        assert f" {option} (" in documented, option
    assert max(map(len, builder.__doc__.splitlines())) <= 120
