"""RegNet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from chainfpn._divisible import make_divisible
from chainfpn.models._record import V1, V2, WeightFile, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import RegNet
    from chainfpn.models._types import Norm, Pretrained


class Architecture(NamedTuple):
    """The numbers of a network.

    Attributes:
        depth (int): Blocks.
        w_0 (int): Width of the first block, before it is quantized.
        w_a (float): How much wider each block is than the one before it.
        w_m (float): Factor from one stage to the next that widths are quantized by.
        group_width (int): Channels per group of the 3x3 convolutions.
        squeezes (bool): Weigh channels by squeeze and excitation: the Y networks.
    """

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group_width: int
    squeezes: bool

    @property
    def rows(self) -> list[tuple[int, int, int]]:
        """Channels, blocks and channels per group of each stage.

        Block i is w_0 + w_a i wide; that is rounded to w_0 times a power of w_m, then to a multiple of 8, and what is
        equal is one stage; its width is at last made a multiple of its groups'.

        Source:
            Radosavovic et al. 2020, section 3.3; torchvision 0.14 ``BlockParams.from_init_params``.
        """
        powers = [round(math.log(1 + self.w_a * i / self.w_0) / math.log(self.w_m)) for i in range(self.depth)]
        widths = [8 * round(self.w_0 * self.w_m**power / 8) for power in powers]
        stages = [(width, len(list(blocks)), min(self.group_width, width)) for width, blocks in groupby(widths)]
        return [(make_divisible(width, group), n_blocks, group) for width, n_blocks, group in stages]

    @property
    def stages(self) -> dict[str, int]:
        """Where the maps of stride 4, 8, 16 and 32 end, and their channels."""
        return {f"trunk_output.block{i}": width for i, (width, _, _) in enumerate(self.rows, 1)}


#: Radosavovic et al. 2020, appendix D.
ARCHITECTURES = {
    "regnet_y_400mf": Architecture(16, 48, 27.89, 2.09, 8, True),
    "regnet_y_800mf": Architecture(14, 56, 38.84, 2.4, 16, True),
    "regnet_y_1_6gf": Architecture(27, 48, 20.71, 2.65, 24, True),
    "regnet_y_3_2gf": Architecture(21, 80, 42.63, 2.66, 24, True),
    "regnet_y_8gf": Architecture(17, 192, 76.82, 2.19, 56, True),
    "regnet_y_16gf": Architecture(18, 200, 106.23, 2.48, 112, True),
    "regnet_y_32gf": Architecture(20, 232, 115.89, 2.53, 232, True),
    "regnet_y_128gf": Architecture(27, 456, 160.83, 2.52, 264, True),
    "regnet_x_400mf": Architecture(22, 24, 24.48, 2.54, 16, False),
    "regnet_x_800mf": Architecture(16, 56, 35.73, 2.28, 16, False),
    "regnet_x_1_6gf": Architecture(18, 80, 34.01, 2.25, 24, False),
    "regnet_x_3_2gf": Architecture(25, 88, 26.31, 2.25, 48, False),
    "regnet_x_8gf": Architecture(23, 80, 49.56, 2.88, 120, False),
    "regnet_x_16gf": Architecture(22, 216, 55.59, 2.1, 128, False),
    "regnet_x_32gf": Architecture(23, 320, 69.86, 2.0, 168, False),
}


def _twice(name: str, first: tuple[str, float], second: tuple[str, float]) -> dict[str, WeightFile]:
    """Return the two files of a network, from the ends of their names and their figures."""
    return {
        V1: imagenet(f"{name}-{first[0]}", first[1]),
        V2: imagenet(f"{name}-{second[0]}", second[1], resize=232),
    }


def _swag(name: str, whole: tuple[str, float], linear: tuple[str, float]) -> dict[str, WeightFile]:
    """Return the same of the files that were trained on pictures with hashtags: all of a network, or its last layer."""
    swag = partial(imagenet, interpolation="bicubic")
    return {
        "IMAGENET1K_SWAG_E2E_V1": swag(f"{name}_swag-{whole[0]}", whole[1], resize=384, crop=384),
        "IMAGENET1K_SWAG_LINEAR_V1": swag(f"{name}_lc_swag-{linear[0]}", linear[1], resize=224),
    }


RECORDS = classifiers(
    "regnet",
    __name__,
    {
        "regnet_y_400mf": _twice("regnet_y_400mf", ("c65dace8", 74.046), ("e6988f5f", 75.804)),
        "regnet_y_800mf": _twice("regnet_y_800mf", ("1b27b58c", 76.42), ("58fc7688", 78.828)),
        "regnet_y_1_6gf": _twice("regnet_y_1_6gf", ("b11a554e", 77.95), ("0d7bc02a", 80.876)),
        "regnet_y_3_2gf": _twice("regnet_y_3_2gf", ("b5a9779c", 78.948), ("9180c971", 81.982)),
        "regnet_y_8gf": _twice("regnet_y_8gf", ("d0d0e4a8", 80.032), ("dc2b1b54", 82.828)),
        "regnet_y_16gf": _twice("regnet_y_16gf", ("9e6ed7dd", 80.424), ("3e4a00f9", 82.886))
        | _swag("regnet_y_16gf", ("43afe44d", 86.012), ("f3ec0043", 83.976)),
        "regnet_y_32gf": _twice("regnet_y_32gf", ("4dee3f7a", 80.878), ("8db6d4b5", 83.368))
        | _swag("regnet_y_32gf", ("04fdfa75", 86.838), ("e1583746", 84.622)),
        "regnet_y_128gf": _swag("regnet_y_128gf", ("c8ce3e52", 88.228), ("cbe8ce12", 86.068)),
        "regnet_x_400mf": _twice("regnet_x_400mf", ("adf1edd5", 72.834), ("62229a5f", 74.864)),
        "regnet_x_800mf": _twice("regnet_x_800mf", ("ad17e45c", 75.212), ("94a99ebd", 77.522)),
        "regnet_x_1_6gf": _twice("regnet_x_1_6gf", ("e3633e7f", 77.04), ("a12f2b72", 79.668)),
        "regnet_x_3_2gf": _twice("regnet_x_3_2gf", ("f342aeae", 78.364), ("7071aa85", 81.196)),
        "regnet_x_8gf": _twice("regnet_x_8gf", ("03ceed89", 79.344), ("2b70d774", 81.682)),
        "regnet_x_16gf": _twice("regnet_x_16gf", ("2007eb11", 80.058), ("ba3796d7", 82.716)),
        "regnet_x_32gf": _twice("regnet_x_32gf", ("9d47f8d0", 80.622), ("6eb8fdc6", 83.014)),
    },
    stages={name: architecture.stages for name, architecture in ARCHITECTURES.items()},
)
__all__ = [model.name for model in RECORDS]


class RegNetArguments(TypedDict, total=False):
    """Options of the RegNets; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        norm (callable): Number of channels to the normalization link; batch normalization by default.
    """

    norm: Norm | None


def regnet_y_400mf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_400mf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_400mf", locals())


def regnet_y_800mf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_800mf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_800mf", locals())


def regnet_y_1_6gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_1_6gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_1_6gf", locals())


def regnet_y_3_2gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_3_2gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_3_2gf", locals())


def regnet_y_8gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_8gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_8gf", locals())


def regnet_y_16gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_16gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_16gf", locals())


def regnet_y_32gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_32gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_32gf", locals())


def regnet_y_128gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_y_128gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_y_128gf", locals())


def regnet_x_400mf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_400mf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_400mf", locals())


def regnet_x_800mf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_800mf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_800mf", locals())


def regnet_x_1_6gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_1_6gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_1_6gf", locals())


def regnet_x_3_2gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_3_2gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_3_2gf", locals())


def regnet_x_8gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_8gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_8gf", locals())


def regnet_x_16gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_16gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_16gf", locals())


def regnet_x_32gf(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[RegNetArguments]
) -> RegNet:
    """Build torchvision's ``regnet_x_32gf`` (Radosavovic et al. 2020), see :class:`RegNetArguments`."""
    return _build("regnet_x_32gf", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import BatchNormalization, RegNet
    from chainfpn.models._classifier import build_classifier

    architecture = ARCHITECTURES[name]
    make = partial(RegNet, architecture.rows, squeezes=architecture.squeezes)
    return build_classifier(name, make, arguments, {"norm": BatchNormalization})
