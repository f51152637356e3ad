"""Parts of a network that training leaves as they are."""

import itertools
from typing import Any

import chainer
from chainercv.links import PickableSequentialChain

from chainfpn.errors import InvalidArgument
from chainfpn.links.backbones.swin_transformer import PatchMerging


def freeze(link: chainer.Link) -> None:
    """Take a link's parameters out of training: no gradient is computed for them, and so no update.

    Where nothing before the link has a gradient either, its forward pass keeps no maps for a backward pass.

    Args:
        link (chainer.Link): The link, or a part of it, that an optimizer has been set up with. Its weights keep their
            names and stay in snapshots and weight files.

    Raises:
        ValueError: if no optimizer has been set up yet, which would train it all the same.
    """
    if any(param.update_rule is None for param in link.params()):
        raise ValueError("freeze: link must have an optimizer: call freeze after optimizer.setup")
    link.disable_update()
    for param in link.params():
        # Chainer has no public way to set this of a parameter that exists.
        param._requires_grad = False
        param.node._requires_grad = False


def freeze_backbone(detector: chainer.Link, trainable_layers: int) -> None:
    """Freeze the first stages of a detector's trunk.

    Args:
        detector (chainfpn.links.Detector): Its ``backbone.body`` is a ResNet or any other trunk of a pyramid.
        trainable_layers (int): How many stages are trained, counted from the last: of the five of a ResNet (layer4,
            layer3, layer2, layer1, conv1), of which one that is cut off counts, too. A stage of another trunk begins
            with its first layer, with each that halves the map, and with its last: a MobileNetV3 has six.

    Raises:
        ValueError: if there are not so many stages, there is no such trunk, or no optimizer has been set up yet.

    Source:
        torchvision 0.14 ``_resnet_fpn_extractor`` and ``_mobilenet_extractor``; its detectors start with 3 of a
        pretrained trunk.
    """
    body = getattr(getattr(detector, "backbone", None), "body", None)
    if not isinstance(body, PickableSequentialChain):
        got = f"a {type(detector).__name__} without it; freeze takes any link"
        raise InvalidArgument("freeze_backbone", "detector", "have a trunk as backbone.body", detector, got=got)
    stages = _resnet_stages(body) if "layer1" in body.layer_names else _stages(body)
    if not 0 <= trainable_layers <= len(stages):
        raise InvalidArgument("freeze_backbone", "trainable_layers", f"in 0..{len(stages)}", trainable_layers)
    for layer in itertools.chain(*stages[: len(stages) - trainable_layers]):
        freeze(layer)


def _resnet_stages(body: PickableSequentialChain) -> list[list[chainer.Link]]:
    """Return the five stages, from the first, some of which may be cut off."""
    names = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return [[body[name] for name in stage if name in body.layer_names] for stage in names]


def _stages(body: PickableSequentialChain) -> list[list[chainer.Link]]:
    """Return the layers of each stage, from the first."""
    layers = [layer for name in body.layer_names for layer in _blocks(body[name])]
    begins = [k for k, layer in enumerate(layers) if k in (0, len(layers) - 1) or _halves(layer)]
    return [layers[begin:end] for begin, end in itertools.pairwise([*begins, len(layers)])]


def _blocks(layer: Any) -> list[chainer.Link]:
    """Return the blocks of a RegNet's ``trunk_output``; any other layer is one itself."""
    if isinstance(layer, PickableSequentialChain) and layer.layer_names[0].startswith("block"):
        return [layer[name] for name in layer.layer_names]
    return [layer] if isinstance(layer, chainer.Link) else []


def _halves(layer: chainer.Link) -> bool:
    """Return whether a layer steps over pixels."""
    return any(isinstance(link, PatchMerging) or max(getattr(link, "stride", (1,))) > 1 for link in layer.links())
