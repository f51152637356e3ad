"""Parts of a network that training leaves as they are."""

import itertools
from typing import Any

import chainer
from chainercv.links import PickableSequentialChain

from chainfpn.errors import InvalidArgument
from chainfpn.links.backbones.ssd_vgg import SSDVGG16, VGG16
from chainfpn.links.backbones.swin_transformer import PatchMerging
from chainfpn.links.detectors.ssdlite import SSDLiteMobileNetV3


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
        detector (chainfpn.links.Detector): Its ``backbone.body`` is a ResNet or any other trunk of a pyramid, or it is
            an SSD.
        trainable_layers (int): How many stages are trained, counted from the last: of the five of a ResNet (layer4,
            layer3, layer2, layer1, conv1), of which one that is cut off counts, too. A stage of another trunk begins
            with its first layer, with each that halves the map, and with its last: a MobileNetV3 has six. The VGG of
            an SSD has five, between its poolings.

    Raises:
        ValueError: if there are not so many stages, there is no such trunk, or no optimizer has been set up yet.

    Source:
        torchvision 0.14 ``_resnet_fpn_extractor``, ``_mobilenet_extractor`` and ``_vgg_extractor``; its detectors start
        with 3 of a pretrained trunk.
    """
    stages = _find_stages(getattr(detector, "backbone", None))
    if stages is None:
        got = f"a {type(detector).__name__} without it; freeze takes any link"
        raise InvalidArgument("freeze_backbone", "detector", "have a trunk as backbone.body", detector, got=got)
    if not 0 <= trainable_layers <= len(stages):
        raise InvalidArgument("freeze_backbone", "trainable_layers", f"in 0..{len(stages)}", trainable_layers)
    for layer in itertools.chain(*stages[: len(stages) - trainable_layers]):
        freeze(layer)


def _find_stages(backbone: Any) -> list[list[chainer.Link]] | None:
    """Return the layers of each stage of a trunk, from the first, or None if there is no such trunk."""
    body = getattr(backbone, "body", None)
    if isinstance(backbone, SSDVGG16):
        return _vgg_stages(backbone)
    if isinstance(backbone, SSDLiteMobileNetV3):  # whose fourteenth block is in two
        (*first, widen), (rest, *last) = (_links(part) for part in backbone.features)
        return _stages([*([layer] for layer in first), [widen, rest], *([layer] for layer in last)])
    if not isinstance(body, PickableSequentialChain):
        return None
    return _resnet_stages(body) if "layer1" in body.layer_names else _stages([[layer] for layer in _links(body)])


def _resnet_stages(body: PickableSequentialChain) -> list[list[chainer.Link]]:
    """Return the five stages, from the first, some of which may be cut off."""
    names = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return [[body[name] for name in stage if name in body.layer_names] for stage in names]


def _vgg_stages(backbone: SSDVGG16) -> list[list[chainer.Link]]:
    """Return the convolutions of VGG-16 between its poolings; what follows is SSD's own."""
    convolutions = [*_links(backbone.features), *_links(backbone.extra[0])]
    ends = itertools.accumulate(VGG16, initial=0)
    return [convolutions[begin:end] for begin, end in itertools.pairwise(ends)]


def _stages(layers: list[list[chainer.Link]]) -> list[list[chainer.Link]]:
    """Return the links of each stage; a layer is one link or more."""
    begins = [k for k, layer in enumerate(layers) if k in (0, len(layers) - 1) or any(map(_halves, layer))]
    pairs = itertools.pairwise([*begins, len(layers)])
    return [list(itertools.chain(*layers[begin:end])) for begin, end in pairs]


def _links(chain: PickableSequentialChain) -> list[chainer.Link]:
    """Return the layers that are links, in turn, and of a RegNet's ``trunk_output`` its blocks."""
    layers = [chain[name] for name in chain.layer_names]
    if isinstance(layers[-1], PickableSequentialChain) and layers[-1].layer_names[0].startswith("block"):
        layers[-1:] = [layers[-1][name] for name in layers[-1].layer_names]
    return [layer for layer in layers if isinstance(layer, chainer.Link)]


def _halves(layer: chainer.Link) -> bool:
    """Return whether a layer steps over pixels."""
    return any(isinstance(link, PatchMerging) or max(getattr(link, "stride", (1,))) > 1 for link in layer.links())
