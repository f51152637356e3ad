"""What is frozen has no gradient and does not move."""

import chainer
import chainer.functions as F
import numpy as np
import pytest

from chainfpn import models
from chainfpn.training import freeze_backbone
from chainfpn.training.freezing import _find_stages

OPTIONS = {"stages": (2, 3), "fpn_channels": 8, "head_channels": 8, "min_size": 64, "max_size": 64}


def _model():
    model = models.fasterrcnn_resnet_fpn(18, 1, **OPTIONS)
    optimizer = chainer.optimizers.SGD(0.1).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(0.1))
    return model, optimizer


def _step(model, optimizer):
    before = {name: param.array.copy() for name, param in model.namedparams()}
    x = np.random.RandomState(0).normal(size=(1, 3, 64, 64)).astype("f")
    loss = sum(F.sum(h * h) for h in model.backbone(x))
    model.cleargrads()
    loss.backward()
    optimizer.update()
    return {name for name, param in model.namedparams() if (param.array != before[name]).any()}


@pytest.mark.parametrize(
    ("n", "frozen"), [(5, ()), (4, ("conv1",)), (3, ("conv1", "layer1")), (2, ("conv1", "layer1", "layer2"))]
)
def test_the_first_stages_stay(n, frozen):
    model, optimizer = _model()
    freeze_backbone(model, n)
    moved = {name.split("/")[3] for name in _step(model, optimizer) if name.startswith("/backbone/body")}
    assert moved == {"conv1", "layer1", "layer2", "layer3"}.difference(frozen)


def test_the_stages_of_a_mobilenet_are_torchvisions():
    """Those of ``_mobilenet_extractor``: the first convolution, each block of stride 2, the last convolution."""
    model = models.fasterrcnn_mobilenet_v3_large_320_fpn(1)
    chainer.optimizers.SGD(0.1).setup(model)
    body = model.backbone.body
    with pytest.raises(ValueError, match=r"freeze_backbone: trainable_layers must be in 0\.\.6, got 7"):
        freeze_backbone(model, 7)
    for n, n_frozen in ((6, 0), (5, 2), (4, 4), (3, 7), (2, 13), (1, 16), (0, 17)):
        freeze_backbone(model, n)
        frozen = {name for name in body.layer_names if not all(param.requires_grad for param in body[name].params())}
        assert frozen == set(map(str, range(n_frozen)))


@pytest.mark.parametrize(
    ("trunk", "stages"),
    [
        ("regnet_x_400mf", [["stem"], ["block1"], ["block2"], ["block3"], ["block4"]]),
        ("efficientnet_b0", [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"], ["7"]]),
        ("swin_t", [["0", "1"], ["2", "3"], ["4", "5"], ["6"], ["7"]]),
    ],
)
def test_the_stages_of_other_trunks(trunk, stages):
    backbone = models.fasterrcnn_resnet_fpn(trunk, 1, fpn_channels=8, head_channels=8).backbone
    assert [[layer.name for layer in stage] for stage in _find_stages(backbone)] == stages


def test_the_stages_of_an_ssd_are_torchvisions():
    """Those of ``_vgg_extractor``; of SSDlite those of a MobileNet, whose block 13 lies in both parts."""
    vgg = _find_stages(models.ssd300_vgg16(1).backbone)
    names = [["0", "2"], ["5", "7"], ["10", "12", "14"], ["17", "19", "21"], ["1", "3", "5"]]
    assert [[layer.name for layer in stage] for stage in vgg] == names
    lite = _find_stages(models.ssdlite320_mobilenet_v3_large(1).backbone)
    names = ["0 1", "2 3", "4 5 6", "7 8 9 10 11 12", "13 0 1 2", "3"]
    assert [" ".join(layer.name for layer in stage) for stage in lite] == names


def test_no_gradient_is_computed_for_what_is_frozen():
    model, _ = _model()
    freeze_backbone(model, 2)
    x = np.zeros((1, 3, 64, 64), "f")
    maps = model.backbone.body(x)
    assert not maps[0].requires_grad
    assert maps[1].requires_grad


def test_what_cannot_be_frozen_is_said():
    model, _ = _model()
    with pytest.raises(ValueError, match=r"freeze_backbone: trainable_layers must be in 0\.\.5, got 6"):
        freeze_backbone(model, 6)
    with pytest.raises(
        ValueError, match=r"have a trunk as backbone\.body, got a ResNet without it; freeze takes any link"
    ):
        freeze_backbone(models.resnet18(1), 3)
    with pytest.raises(ValueError, match=r"freeze: link must have an optimizer: call freeze after optimizer\.setup"):
        freeze_backbone(models.fasterrcnn_resnet_fpn(18, 1, **OPTIONS), 3)
