"""Parts of a network that training leaves as they are."""

import chainer

from chainfpn.errors import InvalidArgument

#: Stages of a ResNet from the one that is trained first to the one that is trained last.
_STAGES = ("layer4", "layer3", "layer2", "layer1", "conv1")


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
    """Freeze the first stages of a detector's ResNet.

    Args:
        detector (chainfpn.links.Detector): Its ``backbone.body`` is a ResNet.
        trainable_layers (int): How many stages are trained, counted from the last of the five (layer4, layer3, layer2,
            layer1, conv1); a stage that is cut off counts, too.

    Raises:
        ValueError: if it is not in 0..5, the trunk is not a ResNet, or no optimizer has been set up yet.

    Source:
        torchvision 0.14 ``_resnet_fpn_extractor``; its detectors start with 3 of a pretrained trunk.
    """
    if not 0 <= trainable_layers <= len(_STAGES):
        raise InvalidArgument("freeze_backbone", "trainable_layers", f"in 0..{len(_STAGES)}", trainable_layers)
    body = getattr(getattr(detector, "backbone", None), "body", None)
    children = {} if body is None else {child.name: child for child in body.children()}
    if "conv1" not in children:
        rule = "have a ResNet as backbone.body"
        got = f"a {type(detector).__name__} without it; freeze takes any link" if body is None else type(body).__name__
        raise InvalidArgument("freeze_backbone", "detector", rule, detector, got=got)
    frozen = [*_STAGES[trainable_layers:], *(["bn1"] if trainable_layers < len(_STAGES) else [])]
    for name in frozen:
        if name in children:
            freeze(children[name])
