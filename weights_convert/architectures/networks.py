"""torchvision's classifiers that are no ResNets, with their own head, another, or none."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from chainfpn.models.convnext import ARCHITECTURES as CONVNEXTS
from chainfpn.models.densenet import ARCHITECTURES as DENSENETS
from chainfpn.models.efficientnet import ARCHITECTURES as EFFICIENTNETS
from chainfpn.models.regnet import ARCHITECTURES as REGNETS
from chainfpn.models.squeezenet import ARCHITECTURES as SQUEEZENETS
from chainfpn.models.swin_transformer import ARCHITECTURES as SWINS
from chainfpn.models.vgg import ARCHITECTURES as VGGS
from weights_convert._typing import AnyShapes, Described, Shapes
from weights_convert.architectures import inception, mobilenet, sequential
from weights_convert.architectures.convnext import convnext, convnext_head
from weights_convert.architectures.efficientnet import efficientnet
from weights_convert.architectures.regnet import regnet
from weights_convert.architectures.shapes import COUNTER, conv, linear
from weights_convert.architectures.swin_transformer import swin_transformer


class Network(NamedTuple):
    """A classifier.

    Attributes:
        features (callable): Gives the shapes of all but its heads.
        head (callable): Those of its head, for a number of classes.
        auxiliary (callable): Those of what it may have or not: auxiliary heads.
    """

    features: Callable[[], Shapes]
    head: Callable[[int], Shapes]
    auxiliary: Callable[[int], Shapes] = lambda n_class: {}


def _three_layers(numbers: tuple[int, int, int], n_in: int, n_class: int) -> Shapes:
    first, second, last = (f"classifier.{number}" for number in numbers)
    return linear(first, n_in, 4096) | linear(second, 4096, 4096) | linear(last, 4096, n_class)


def _two_layers(n_in: int, width: int, n_class: int) -> Shapes:
    return linear("classifier.0", n_in, width) | linear("classifier.3", width, n_class)


def _family(
    architectures: Mapping[str, Any], features: Callable[..., Shapes], head: Callable[[Any], Callable[[int], Shapes]]
) -> dict[str, Network]:
    """Return networks by name; ``features`` and ``head`` take the numbers of one."""
    return {name: Network(partial(features, numbers), head(numbers)) for name, numbers in architectures.items()}


_VGG_HEAD = partial(_three_layers, (0, 3, 6), 512 * 7**2)
_VGGS_BN = {f"{name}_bn": numbers for name, numbers in VGGS.items()}

NETWORKS = {
    "alexnet": Network(sequential.alexnet, partial(_three_layers, (1, 4, 6), 256 * 6**2)),
    **_family(VGGS, sequential.vgg, lambda _: _VGG_HEAD),
    **_family(_VGGS_BN, partial(sequential.vgg, normed=True), lambda _: _VGG_HEAD),
    **{
        name: Network(partial(sequential.squeezenet, *numbers), lambda n: conv("classifier.1", 512, n, 1, True))
        for name, numbers in SQUEEZENETS.items()
    },
    **{
        name: Network(partial(sequential.densenet, *numbers), partial(linear, "classifier", width))
        for (name, numbers), width in zip(DENSENETS.items(), (1024, 2208, 1664, 1920), strict=True)
    },
    "mobilenet_v2": Network(mobilenet.mobilenet_v2, partial(linear, "classifier.1", 1280)),
    "mobilenet_v3_large": Network(partial(mobilenet.mobilenet_v3, mobilenet.LARGE), partial(_two_layers, 960, 1280)),
    "mobilenet_v3_small": Network(partial(mobilenet.mobilenet_v3, mobilenet.SMALL), partial(_two_layers, 576, 1024)),
    **_family(EFFICIENTNETS, efficientnet, lambda numbers: partial(linear, "classifier.1", numbers.last)),
    **_family(REGNETS, regnet, lambda numbers: partial(linear, "fc", numbers.rows[-1][0])),
    **_family(CONVNEXTS, convnext, lambda numbers: partial(convnext_head, numbers.channels[-1])),
    **_family(SWINS, swin_transformer, lambda numbers: partial(linear, "head", 8 * numbers.channels)),
    "googlenet": Network(inception.googlenet, partial(linear, "fc", 1024), inception.googlenet_auxiliary),
    "inception_v3": Network(inception.inception_v3, partial(linear, "fc", 2048), inception.inception_auxiliary),
}

#: A name of each network's first layer.
_STEMS = (
    "features.0.weight", "features.0.0.weight", "features.conv0.weight", "conv1.conv.weight",
    "Conv2d_1a_3x3.conv.weight", "stem.0.weight",
)  # fmt: skip


def describe_network(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of the nearest of `NETWORKS`, or ``None``."""
    if not any(stem in shapes for stem in _STEMS):
        return None
    found = {name for name in shapes if not name.endswith(COUNTER)}
    distances = {}
    for name in NETWORKS:
        features = features_of(name)
        wrong = sum(shapes.get(key) != shape for key, shape in features.items())
        unknown = sum(key.startswith(("features.", "trunk_output.")) for key in found - features.keys())
        distances[name] = (wrong + unknown) / len(features)
    builder = min(distances, key=distances.__getitem__)
    network = NETWORKS[builder]
    n_class = head_classes(shapes, network.head)
    auxiliary = network.auxiliary(n_class)
    has_auxiliary = n_class > 0 and all(shapes.get(key) == shape for key, shape in auxiliary.items())
    head = network.head(n_class) if n_class else {}
    return builder, {"n_class": n_class}, features_of(builder) | head | (auxiliary if has_auxiliary else {})


@cache
def features_of(name: str) -> Shapes:
    """Return the shapes of all of a network but its heads; not to be changed."""
    return NETWORKS[name].features()


def head_classes(shapes: AnyShapes, head: Callable[[int], Shapes]) -> int:
    """Return how many classes the head of a network has; 0 if there is another head, or none.

    Args:
        shapes (dict): Those in the file.
        head (callable): Those of the network's own head, for a number of classes.
    """
    names = list(head(1))
    weight = shapes.get(names[-2], ())
    n_class = weight[0] if weight else 0
    root = names[0].partition(".")[0] + "."
    there = {name: tuple(shape) for name, shape in shapes.items() if name.startswith(root)}
    return n_class if there == head(n_class) else 0
