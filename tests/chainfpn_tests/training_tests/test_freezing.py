"""What is frozen has no gradient and does not move."""

import chainer
import chainer.functions as F
import numpy as np
import pytest

from chainfpn import models
from chainfpn.training import freeze_backbone

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
        ValueError, match=r"freeze_backbone: detector must have a ResNet as backbone\.body, got IndexedSequential"
    ):
        freeze_backbone(models.fasterrcnn_mobilenet_v3_large_320_fpn(1), 3)
    with pytest.raises(
        ValueError, match=r"have a ResNet as backbone\.body, got a ResNet without it; freeze takes any link"
    ):
        freeze_backbone(models.resnet18(1), 3)
    with pytest.raises(ValueError, match=r"freeze: link must have an optimizer: call freeze after optimizer\.setup"):
        freeze_backbone(models.fasterrcnn_resnet_fpn(18, 1, **OPTIONS), 3)
