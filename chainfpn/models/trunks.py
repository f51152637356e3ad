"""ResNets as trunks of detectors, and the pyramid of detectors of one stage."""

import functools

from chainfpn.links.backbones.backbone_with_fpn import BackboneWithFPN
from chainfpn.links.batch_normalization import BatchNormalization, FrozenBatchNormalization
from chainfpn.links.fpn import LastLevelP6P7
from chainfpn.links.group_normalization import GroupNormalization
from chainfpn.models import resnet
from chainfpn.models.trunk_weights import TrunkClassifier

#: Normalizations that a builder takes by name.
NORMS = {"frozen": FrozenBatchNormalization, "batch": BatchNormalization, "group": GroupNormalization}


def trunk_norm(o, *, frozen):
    """Make the normalization of the trunk.

    Args:
        o (SimpleNamespace): The builder's options.
        frozen (bool): Where the options do not say it, statistics and affine terms never change.

    Returns:
        callable: Makes a normalization link for a number of channels.

    Raises:
        ValueError: if ``norm`` is no callable and not the name of one.
    """
    if callable(o.norm):
        return o.norm
    name = o.norm or ("frozen" if frozen else "batch")
    if name not in NORMS:
        raise ValueError(f"{o.name}: norm must be callable or one of {', '.join(NORMS)}, got {o.norm!r}")
    return functools.partial(NORMS[name], eps=o.norm_eps)


def resnet_trunk(o, norm):
    """Make a ResNet that returns its stages.

    Args:
        o (SimpleNamespace): The builder's options.
        norm (callable): Makes a normalization link for a number of channels.

    Returns:
        tuple: The trunk, and the channels of each stage it returns, finest first.

    Raises:
        ValueError: if ``depth`` or ``stages`` is not what it must be.
    """
    name, stages = _name_and_stages(o)
    body = getattr(resnet, name)(norm=norm, stride_in_1x1=o.stride_in_1x1)
    body.pick = tuple(f"layer{stage}" for stage in stages)
    body.remove_unused()
    return body, [body.out_channels[stage - 1] for stage in stages]


def dense_backbone(o, *, frozen=True):
    """Make what a detector of one stage looks at: a ResNet and a pyramid with the levels P6 and P7.

    Args:
        o (SimpleNamespace): The builder's options.
        frozen (bool): See :func:`trunk_norm`.

    Returns:
        BackboneWithFPN: (B, 3, H, W) to two levels more than stages.
    """
    body, channels = resnet_trunk(o, trunk_norm(o, frozen=frozen))
    in_channels = channels[-1] if o.p6_from_trunk else o.fpn_channels
    levels = LastLevelP6P7(in_channels, o.fpn_channels, relu=o.p7_relu)
    return BackboneWithFPN(body, channels, o.fpn_channels, extra_blocks=levels)


def resnet_classifier(o):
    """Tell which classifier a ResNet's weights are from.

    Args:
        o (SimpleNamespace): The builder's options.

    Returns:
        TrunkClassifier: Its last layer and the stages that are cut off are left out.

    Raises:
        ValueError: if ``depth`` or ``stages`` is not what it must be.
    """
    name, stages = _name_and_stages(o)
    cut = tuple(f"layer{stage}/" for stage in range(stages[-1] + 1, 5))
    return TrunkClassifier(name, {"": "backbone/body/"}, ("fc/", *cut))


def _name_and_stages(o):
    """Return the name of a ResNet and its stages, both checked."""
    name, stages = o.depth if isinstance(o.depth, str) else f"resnet{o.depth}", tuple(o.stages)
    if name not in resnet.RESNETS:
        raise ValueError(
            f"{o.name}: depth must be 18, 34, 50, 101, 152 or one of {', '.join(resnet.RESNETS)}, got {o.depth!r}"
        )
    if not stages or stages != tuple(range(stages[0], stages[-1] + 1)) or not 1 <= stages[0] <= stages[-1] <= 4:
        raise ValueError(f"{o.name}: stages must be consecutive numbers in 1 to 4, got {stages!r}")
    return name, stages
