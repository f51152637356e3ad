"""EfficientNet and EfficientNetV2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from chainfpn._divisible import make_divisible
from chainfpn.models._record import V1, V2, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import EfficientNet
    from chainfpn.models._types import Norm, Pretrained


class Architecture(NamedTuple):
    """The numbers of a network.

    Attributes:
        stem (int): Channels of the first convolution.
        rows (tuple of tuple): See :class:`~chainfpn.links.backbones.efficientnet.Row`.
        last (int): Channels of the last convolution.
        dropout (float): Share of the features dropped before the last layer in training.
        eps (float): Epsilon of the batch normalizations.
        decay (float): Weight of the past in their statistics.
    """

    stem: int
    rows: tuple[tuple[bool, int, int, int, int, int], ...]
    last: int
    dropout: float
    eps: float = 1e-3
    decay: float = 0.9

    @property
    def stages(self) -> dict[str, int]:
        """Where the maps of stride 4, 8, 16 and 32 end, and their channels."""
        ends = [i for i, row in enumerate((*self.rows[1:], self.rows[1])) if row[3] == 2]
        return {f"features.{i + 1}": self.rows[i][4] for i in ends[1:]}


#: Tan and Le 2019, table 1: whether the expansion is fused, expansion, kernel, stride, channels, blocks.
_B0 = (
    (False, 1, 3, 1, 16, 1),
    (False, 6, 3, 2, 24, 2),
    (False, 6, 5, 2, 40, 2),
    (False, 6, 3, 2, 80, 3),
    (False, 6, 5, 1, 112, 3),
    (False, 6, 5, 2, 192, 4),
    (False, 6, 3, 1, 320, 1),
)


def _scaled(width: float, depth: float, dropout: float, **norm: float) -> Architecture:
    """Return EfficientNet B0 with more channels and blocks."""
    rows = tuple((*row[:4], make_divisible(row[4] * width), math.ceil(row[5] * depth)) for row in _B0)
    return Architecture(make_divisible(32 * width), rows, 4 * rows[-1][4], dropout, **norm)


def _v2(dropout: float, *rows: tuple[bool, int, int, int, int, int]) -> Architecture:
    """Return an EfficientNetV2."""
    return Architecture(rows[0][4], rows, 1280, dropout)


#: Tan and Le 2019, section 5; of the second version Tan and Le 2021, table 4, and torchvision 0.14 for larger ones.
ARCHITECTURES = {
    "efficientnet_b0": _scaled(1.0, 1.0, 0.2, eps=1e-5),
    "efficientnet_b1": _scaled(1.0, 1.1, 0.2, eps=1e-5),
    "efficientnet_b2": _scaled(1.1, 1.2, 0.3, eps=1e-5),
    "efficientnet_b3": _scaled(1.2, 1.4, 0.3, eps=1e-5),
    "efficientnet_b4": _scaled(1.4, 1.8, 0.4, eps=1e-5),
    "efficientnet_b5": _scaled(1.6, 2.2, 0.4, decay=0.99),
    "efficientnet_b6": _scaled(1.8, 2.6, 0.5, decay=0.99),
    "efficientnet_b7": _scaled(2.0, 3.1, 0.5, decay=0.99),
    "efficientnet_v2_s": _v2(
        0.2,
        (True, 1, 3, 1, 24, 2),
        (True, 4, 3, 2, 48, 4),
        (True, 4, 3, 2, 64, 4),
        (False, 4, 3, 2, 128, 6),
        (False, 6, 3, 1, 160, 9),
        (False, 6, 3, 2, 256, 15),
    ),
    "efficientnet_v2_m": _v2(
        0.3,
        (True, 1, 3, 1, 24, 3),
        (True, 4, 3, 2, 48, 5),
        (True, 4, 3, 2, 80, 5),
        (False, 4, 3, 2, 160, 7),
        (False, 6, 3, 1, 176, 14),
        (False, 6, 3, 2, 304, 18),
        (False, 6, 3, 1, 512, 5),
    ),
    "efficientnet_v2_l": _v2(
        0.4,
        (True, 1, 3, 1, 32, 4),
        (True, 4, 3, 2, 64, 7),
        (True, 4, 3, 2, 96, 7),
        (False, 4, 3, 2, 192, 10),
        (False, 6, 3, 1, 224, 19),
        (False, 6, 3, 2, 384, 25),
        (False, 6, 3, 1, 640, 7),
    ),
}

_bicubic = partial(imagenet, interpolation="bicubic")
_HALF = (0.5, 0.5, 0.5)

RECORDS = classifiers(
    "efficientnet",
    __name__,
    {
        "efficientnet_b0": {V1: _bicubic("efficientnet_b0_rwightman-3dd342df", 77.692)},
        "efficientnet_b1": {
            V1: _bicubic("efficientnet_b1_rwightman-533bc792", 78.642, crop=240),
            V2: imagenet("efficientnet_b1-c27df63c", 79.838, resize=255, crop=240),
        },
        "efficientnet_b2": {V1: _bicubic("efficientnet_b2_rwightman-bcdf34b7", 80.608, resize=288, crop=288)},
        "efficientnet_b3": {V1: _bicubic("efficientnet_b3_rwightman-cf984f9c", 82.008, resize=320, crop=300)},
        "efficientnet_b4": {V1: _bicubic("efficientnet_b4_rwightman-7eb33cd5", 83.384, resize=384, crop=380)},
        "efficientnet_b5": {V1: _bicubic("efficientnet_b5_lukemelas-b6417697", 83.444, resize=456, crop=456, eps=1e-3)},
        "efficientnet_b6": {V1: _bicubic("efficientnet_b6_lukemelas-c76e70fd", 84.008, resize=528, crop=528, eps=1e-3)},
        "efficientnet_b7": {V1: _bicubic("efficientnet_b7_lukemelas-dcc49843", 84.122, resize=600, crop=600, eps=1e-3)},
        "efficientnet_v2_s": {V1: imagenet("efficientnet_v2_s-dd5fe13b", 84.228, resize=384, crop=384, eps=1e-3)},
        "efficientnet_v2_m": {V1: imagenet("efficientnet_v2_m-dc08266a", 85.112, resize=480, crop=480, eps=1e-3)},
        "efficientnet_v2_l": {
            V1: _bicubic("efficientnet_v2_l-59c71312", 85.808, resize=480, crop=480, eps=1e-3, mean=_HALF, std=_HALF)
        },
    },
    head="classifier.1",
    stages={name: architecture.stages for name, architecture in ARCHITECTURES.items()},
)
__all__ = [model.name for model in RECORDS]


class EfficientNetArguments(TypedDict, total=False):
    """Options of the EfficientNets; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        dropout (float): Share of the features dropped before the last layer in training; the network's own by default.
        stochastic_depth_prob (float): Probability that a block is left out of an image in training, of the last block;
            0.2 by default.
        norm (callable): Number of channels to the normalization link; batch normalization with the network's own
            constants by default.
    """

    dropout: float
    stochastic_depth_prob: float
    norm: Norm | None


def efficientnet_b0(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b0`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b0", locals())


def efficientnet_b1(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b1`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b1", locals())


def efficientnet_b2(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b2`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b2", locals())


def efficientnet_b3(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b3`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b3", locals())


def efficientnet_b4(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b4`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b4", locals())


def efficientnet_b5(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b5`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b5", locals())


def efficientnet_b6(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b6`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b6", locals())


def efficientnet_b7(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_b7`` (Tan and Le 2019), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_b7", locals())


def efficientnet_v2_s(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_v2_s`` (Tan and Le 2021), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_v2_s", locals())


def efficientnet_v2_m(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_v2_m`` (Tan and Le 2021), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_v2_m", locals())


def efficientnet_v2_l(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[EfficientNetArguments]
) -> EfficientNet:
    """Build torchvision's ``efficientnet_v2_l`` (Tan and Le 2021), see :class:`EfficientNetArguments`."""
    return _build("efficientnet_v2_l", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import BatchNormalization, EfficientNet
    from chainfpn.links.backbones.efficientnet import Row
    from chainfpn.models._classifier import build_classifier

    stem, rows, last, dropout, eps, decay = ARCHITECTURES[name]
    make = partial(EfficientNet, stem, [Row(*row) for row in rows], last)
    norm = partial(BatchNormalization, eps=eps, decay=decay)
    defaults = {"dropout": dropout, "stochastic_depth_prob": 0.2, "norm": norm}
    return build_classifier(name, make, arguments, defaults)
