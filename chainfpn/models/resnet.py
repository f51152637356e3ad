"""Builders of the classifiers: ResNet, ResNeXt and wide ResNet, by torchvision's names."""

from chainfpn.links.backbones.resnet import DEPTHS, ResNet
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.models.classifier_weights import ClassifierWeights

#: Name to depth, groups and width per group.
RESNETS = {
    "resnet18": (18, 1, 64),
    "resnet34": (34, 1, 64),
    "resnet50": (50, 1, 64),
    "resnet101": (101, 1, 64),
    "resnet152": (152, 1, 64),
    "resnext50_32x4d": (50, 32, 4),
    "resnext101_32x8d": (101, 32, 8),
    "resnext101_64x4d": (101, 64, 4),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}


def _builder(name):
    depth, groups, width_per_group = RESNETS[name]

    def build(
        n_class=None,
        pretrained_model=None,
        *,
        replace_stride_with_dilation=(False, False, False),
        zero_init_residual=False,
        stride_in_1x1=None,
        norm=BatchNormalization,
    ):
        weights = ClassifierWeights(name, pretrained_model, convert_as=None)
        if stride_in_1x1 is None:
            stride_in_1x1 = weights.arguments.get("stride_in_1x1", False)
        link = ResNet(
            *DEPTHS[depth],
            weights.n_class(n_class),
            groups=groups,
            width_per_group=width_per_group,
            replace_stride_with_dilation=replace_stride_with_dilation,
            zero_init_residual=zero_init_residual,
            stride_in_1x1=stride_in_1x1,
            norm=norm,
        )
        return weights.load_into(link)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""Build torchvision's ``{name}``.

    Args:
        n_class (int or None): Class scores; as many as the weights have, else 1000, by default.
        pretrained_model (str, os.PathLike or None): ``'imagenet'`` for torchvision's weights, ``'imagenet_v2'``
            for its better ones where there are any, or the path of an .npz or a checkpoint.
        replace_stride_with_dilation (sequence of bool): See :class:`~chainfpn.links.ResNet`.
        zero_init_residual (bool): See :class:`~chainfpn.links.ResNet`.
        stride_in_1x1 (bool or None): See :class:`~chainfpn.links.ResNet`; what the weights say, else False, by default.
        norm (callable): Makes the normalization link for a number of channels.

    Returns:
        chainfpn.links.ResNet: Maps (B, 3, H, W) to (B, n_class) class scores, or to what its ``pick`` names.

    Raises:
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.
    """
    return build


resnet18 = _builder("resnet18")
resnet34 = _builder("resnet34")
resnet50 = _builder("resnet50")
resnet101 = _builder("resnet101")
resnet152 = _builder("resnet152")
resnext50_32x4d = _builder("resnext50_32x4d")
resnext101_32x8d = _builder("resnext101_32x8d")
resnext101_64x4d = _builder("resnext101_64x4d")
wide_resnet50_2 = _builder("wide_resnet50_2")
wide_resnet101_2 = _builder("wide_resnet101_2")
