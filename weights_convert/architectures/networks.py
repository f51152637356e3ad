"""torchvision's classifiers that are no ResNets, with their own head, another, or none."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

from chainfpn.models.convnext import ARCHITECTURES as CONVNEXTS
from chainfpn.models.efficientnet import ARCHITECTURES as EFFICIENTNETS
from chainfpn.models.regnet import ARCHITECTURES as REGNETS
from chainfpn.models.swin_transformer import ARCHITECTURES as SWINS
from weights_convert._typing import AnyShapes, Described, Shapes
from weights_convert.architectures import inception, mobilenet, sequential
from weights_convert.architectures.convnext import convnext, convnext_head
from weights_convert.architectures.efficientnet import efficientnet
from weights_convert.architectures.regnet import regnet
from weights_convert.architectures.shapes import conv, linear
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


_VGG_HEAD = partial(_three_layers, (0, 3, 6), 512 * 7**2)

NETWORKS = {
    "alexnet": Network(sequential.alexnet, partial(_three_layers, (1, 4, 6), 256 * 6**2)),
    **{name: Network(partial(sequential.vgg, n), _VGG_HEAD) for name, n in sequential.VGGS.items()},
    **{
        f"{name}_bn": Network(partial(sequential.vgg, n, normed=True), _VGG_HEAD) for name, n in sequential.VGGS.items()
    },
    **{
        name: Network(partial(sequential.squeezenet, *numbers), lambda n: conv("classifier.1", 512, n, 1, True))
        for name, numbers in sequential.SQUEEZENETS.items()
    },
    **{
        name: Network(partial(sequential.densenet, *numbers), partial(linear, "classifier", width))
        for (name, numbers), width in zip(sequential.DENSENETS.items(), (1024, 2208, 1664, 1920), strict=True)
    },
    "mobilenet_v2": Network(mobilenet.mobilenet_v2, partial(linear, "classifier.1", 1280)),
    "mobilenet_v3_large": Network(partial(mobilenet.mobilenet_v3, mobilenet.LARGE), partial(_two_layers, 960, 1280)),
    "mobilenet_v3_small": Network(partial(mobilenet.mobilenet_v3, mobilenet.SMALL), partial(_two_layers, 576, 1024)),
    **{
        name: Network(partial(efficientnet, name), partial(linear, "classifier.1", numbers.last))
        for name, numbers in EFFICIENTNETS.items()
    },
    **{
        name: Network(partial(regnet, name), partial(linear, "fc", numbers.rows[-1][0]))
        for name, numbers in REGNETS.items()
    },
    **{
        name: Network(partial(convnext, name), partial(convnext_head, numbers.channels[-1]))
        for name, numbers in CONVNEXTS.items()
    },
    **{
        name: Network(partial(swin_transformer, name), partial(linear, "head", 8 * numbers.channels))
        for name, numbers in SWINS.items()
    },
    "googlenet": Network(inception.googlenet, partial(linear, "fc", 1024), inception.googlenet_auxiliary),
    "inception_v3": Network(inception.inception_v3, partial(linear, "fc", 2048), inception.inception_auxiliary),
}

#: A name of each network's first layer.
_STEMS = (
    "features.0.weight", "features.0.0.weight", "features.conv0.weight", "conv1.conv.weight",
    "Conv2d_1a_3x3.conv.weight", "stem.0.weight",
)  # fmt: skip

_COUNTERS = ".num_batches_tracked"


def describe_network(shapes: AnyShapes) -> Described:
    """Return ``(builder, arguments, expected shapes)`` of the nearest of `NETWORKS`, or ``None``."""
    if not any(stem in shapes for stem in _STEMS):
        return None
    found = {name for name in shapes if not is_counter(name)}
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


def is_counter(name: str) -> bool:
    """Return whether a tensor counts batches, which may be there or not."""
    return name.endswith(_COUNTERS)


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
