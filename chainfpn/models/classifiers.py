"""Builders of the classifiers that are no ResNet, by torchvision's names."""

from chainfpn.links.backbones.alexnet import AlexNet
from chainfpn.links.backbones.densenet import DenseNet
from chainfpn.links.backbones.googlenet import GoogLeNet
from chainfpn.links.backbones.inception import InceptionV3
from chainfpn.links.backbones.mobilenet_v2 import MobileNetV2
from chainfpn.links.backbones.mobilenet_v3 import LARGE, SMALL, MobileNetV3
from chainfpn.links.backbones.squeezenet import SqueezeNet
from chainfpn.links.backbones.vgg import VGG
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.models.classifier_weights import ClassifierWeights

#: Name to convolutions per stage; each also with batch normalization, as ``..._bn``.
VGGS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
#: Name to dense layers per block, channels each adds, channels of the first convolution.
DENSENETS = {
    "densenet121": ((6, 12, 24, 16), 32, 64),
    "densenet161": ((6, 12, 36, 24), 48, 96),
    "densenet169": ((6, 12, 32, 32), 32, 64),
    "densenet201": ((6, 12, 48, 32), 32, 64),
}
#: Name to channels and kernel of the first convolution, fire blocks per resolution.
SQUEEZENETS = {"squeezenet1_0": ((96, 7), (3, 4, 1)), "squeezenet1_1": ((64, 3), (2, 2, 4))}
#: Name to blocks, features before the last layer.
MOBILENETS_V3 = {"mobilenet_v3_large": (LARGE, 1280), "mobilenet_v3_small": (SMALL, 1024)}

#: What the documentation of every builder says.
_DOCUMENTATION = """Build torchvision's ``{name}``.

    Args:
        n_class (int or None): Class scores; as many as the weights have, else 1000, by default.
        pretrained_model (str, os.PathLike or None): ``'imagenet'`` for torchvision's weights, ``'imagenet_v2'``
            for its better ones where there are any, or the path of an .npz or a checkpoint.
        {options}: See :class:`~chainfpn.links.{link}`.{more}

    Returns:
        chainfpn.links.{link}: Maps (B, 3, H, W) to (B, n_class) class scores, or to what its ``pick`` names.

    Raises:
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.
    """


def _named(build, name, link, options, more=""):
    """Name and document a builder."""
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _DOCUMENTATION.format(name=name, link=link.__name__, options=options, more=more)
    return build


def _alexnet():
    def build(n_class=None, pretrained_model=None, *, dropout=0.5):
        weights = ClassifierWeights("alexnet", pretrained_model)
        return weights.load_into(AlexNet(weights.n_class(n_class), dropout=dropout))

    return _named(build, "alexnet", AlexNet, "dropout")


def _vgg(name, norm):
    n_convolutions = VGGS[name.removesuffix("_bn")]

    def build(n_class=None, pretrained_model=None, *, dropout=0.5):
        weights = ClassifierWeights(name, pretrained_model)
        return weights.load_into(VGG(n_convolutions, weights.n_class(n_class), norm=norm, dropout=dropout))

    return _named(build, name, VGG, "dropout")


def _densenet(name):
    n_layers, growth, stem = DENSENETS[name]

    def build(n_class=None, pretrained_model=None, *, drop_rate=0.0, norm=BatchNormalization):
        weights = ClassifierWeights(name, pretrained_model)
        n_class = weights.n_class(n_class)
        return weights.load_into(DenseNet(n_layers, growth, stem, n_class, drop_rate=drop_rate, norm=norm))

    return _named(build, name, DenseNet, "drop_rate, norm")


def _squeezenet(name):
    first, n_fires = SQUEEZENETS[name]

    def build(n_class=None, pretrained_model=None, *, dropout=0.5):
        weights = ClassifierWeights(name, pretrained_model)
        return weights.load_into(SqueezeNet(first, n_fires, weights.n_class(n_class), dropout=dropout))

    return _named(build, name, SqueezeNet, "dropout")


def _with_heads(name, link, dropout):
    prefixes = tuple(f"{head}/" for head in link.auxiliary.values())

    def build(n_class=None, pretrained_model=None, *, aux_logits=None, transform_input=None, dropout=dropout):
        weights = ClassifierWeights(name, pretrained_model)
        there = not weights.arrays or any(key.startswith(prefixes) for key in weights.arrays)
        aux_logits = weights.arguments.get("aux_logits", there) if aux_logits is None else aux_logits
        if transform_input is None:
            transform_input = weights.arguments.get("transform_input", False)
        model = link(weights.n_class(n_class), aux_logits=aux_logits, transform_input=transform_input, dropout=dropout)
        return weights.load_into(model, without=() if aux_logits else prefixes)

    more = """ ``aux_logits`` and
            ``transform_input`` are by default what torchvision makes of the weights; without any, True and False."""
    return _named(build, name, link, "aux_logits, transform_input, dropout", more)


def _mobilenet_v2():
    def build(n_class=None, pretrained_model=None, *, width_mult=1.0, dropout=0.2, norm=BatchNormalization):
        weights = ClassifierWeights("mobilenet_v2", pretrained_model)
        n_class = weights.n_class(n_class)
        return weights.load_into(MobileNetV2(n_class, width_mult=width_mult, dropout=dropout, norm=norm))

    return _named(build, "mobilenet_v2", MobileNetV2, "width_mult, dropout, norm")


def _mobilenet_v3(name):
    rows, hidden = MOBILENETS_V3[name]

    def build(n_class=None, pretrained_model=None, *, width_mult=1.0, dropout=0.2, norm=None):
        weights = ClassifierWeights(name, pretrained_model)
        n_class = weights.n_class(n_class)
        return weights.load_into(MobileNetV3(rows, hidden, n_class, width_mult=width_mult, dropout=dropout, norm=norm))

    return _named(build, name, MobileNetV3, "width_mult, dropout, norm")


alexnet = _alexnet()
vgg11 = _vgg("vgg11", None)
vgg11_bn = _vgg("vgg11_bn", BatchNormalization)
vgg13 = _vgg("vgg13", None)
vgg13_bn = _vgg("vgg13_bn", BatchNormalization)
vgg16 = _vgg("vgg16", None)
vgg16_bn = _vgg("vgg16_bn", BatchNormalization)
vgg19 = _vgg("vgg19", None)
vgg19_bn = _vgg("vgg19_bn", BatchNormalization)
densenet121 = _densenet("densenet121")
densenet161 = _densenet("densenet161")
densenet169 = _densenet("densenet169")
densenet201 = _densenet("densenet201")
squeezenet1_0 = _squeezenet("squeezenet1_0")
squeezenet1_1 = _squeezenet("squeezenet1_1")
googlenet = _with_heads("googlenet", GoogLeNet, 0.2)
inception_v3 = _with_heads("inception_v3", InceptionV3, 0.5)
mobilenet_v2 = _mobilenet_v2()
mobilenet_v3_large = _mobilenet_v3("mobilenet_v3_large")
mobilenet_v3_small = _mobilenet_v3("mobilenet_v3_small")

#: Every builder of this module by its name.
CLASSIFIERS = {
    build.__name__: build
    for build in (
        alexnet,
        vgg11,
        vgg11_bn,
        vgg13,
        vgg13_bn,
        vgg16,
        vgg16_bn,
        vgg19,
        vgg19_bn,
        densenet121,
        densenet161,
        densenet169,
        densenet201,
        squeezenet1_0,
        squeezenet1_1,
        googlenet,
        inception_v3,
        mobilenet_v2,
        mobilenet_v3_large,
        mobilenet_v3_small,
    )
}
