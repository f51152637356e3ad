"""Swin Transformer and its second version."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from chainfpn.models._record import V1, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import SwinTransformer
    from chainfpn.models._types import Pretrained


class Architecture(NamedTuple):
    """The numbers of a network.

    Attributes:
        channels (int): Channels of the first stage; each further one has twice as many.
        n_blocks (tuple of int): Blocks of each stage.
        n_heads (tuple of int): Heads of each stage's attention.
        side (int): Of a window, in pixels.
        v2 (bool): The second version.
        stochastic_depth_prob (float): How often the last block is left out of an image in training.
    """

    channels: int
    n_blocks: tuple[int, ...]
    n_heads: tuple[int, ...]
    side: int
    v2: bool
    stochastic_depth_prob: float

    @property
    def stages(self) -> dict[str, int]:
        """Where the maps of stride 4, 8, 16 and 32 end, and their channels."""
        return {f"features.{2 * i + 1}": self.channels * 2**i for i in range(len(self.n_blocks))}


_TINY, _DEEP = (2, 2, 6, 2), (2, 2, 18, 2)

#: Liu et al. 2021, section 3.3; windows of the second version are those of its published weights.
ARCHITECTURES = {
    f"swin{version}_{size}": Architecture(channels, n_blocks, n_heads, side, side == 8, probability)
    for version, side in (("", 7), ("_v2", 8))
    for size, channels, n_blocks, n_heads, probability in (
        ("t", 96, _TINY, (3, 6, 12, 24), 0.2),
        ("s", 96, _DEEP, (3, 6, 12, 24), 0.3),
        ("b", 128, _DEEP, (4, 8, 16, 32), 0.5),
    )
}

_imagenet = partial(imagenet, eps=None, interpolation="bicubic")
_imagenet_256 = partial(_imagenet, crop=256)

RECORDS = classifiers(
    "swin_transformer",
    __name__,
    {
        "swin_t": {V1: _imagenet("swin_t-704ceda3", 81.474, resize=232)},
        "swin_s": {V1: _imagenet("swin_s-5e29d889", 83.196, resize=246)},
        "swin_b": {V1: _imagenet("swin_b-68c6b09e", 83.582, resize=238)},
        "swin_v2_t": {V1: _imagenet_256("swin_v2_t-b137f0e2", 82.072, resize=260)},
        "swin_v2_s": {V1: _imagenet_256("swin_v2_s-637d8ceb", 83.712, resize=260)},
        "swin_v2_b": {V1: _imagenet_256("swin_v2_b-781e5279", 84.112, resize=272)},
    },
    head="head",
    stages={name: architecture.stages for name, architecture in ARCHITECTURES.items()},
)
__all__ = [model.name for model in RECORDS]


class SwinArguments(TypedDict, total=False):
    """Options of the Swin Transformers; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        stochastic_depth_prob (float): Probability that a part of a block is left out of an image in training, of the
            last block; torchvision's for the network by default.
    """

    stochastic_depth_prob: float


def swin_t(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SwinArguments]
) -> SwinTransformer:
    """Build torchvision's ``swin_t`` (Liu et al. 2021), see :class:`SwinArguments`."""
    return _build("swin_t", locals())


def swin_s(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SwinArguments]
) -> SwinTransformer:
    """Build torchvision's ``swin_s`` (Liu et al. 2021), see :class:`SwinArguments`."""
    return _build("swin_s", locals())


def swin_b(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SwinArguments]
) -> SwinTransformer:
    """Build torchvision's ``swin_b`` (Liu et al. 2021), see :class:`SwinArguments`."""
    return _build("swin_b", locals())


def swin_v2_t(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SwinArguments]
) -> SwinTransformer:
    """Build torchvision's ``swin_v2_t`` (Liu et al. 2022), see :class:`SwinArguments`."""
    return _build("swin_v2_t", locals())


def swin_v2_s(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SwinArguments]
) -> SwinTransformer:
    """Build torchvision's ``swin_v2_s`` (Liu et al. 2022), see :class:`SwinArguments`."""
    return _build("swin_v2_s", locals())


def swin_v2_b(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[SwinArguments]
) -> SwinTransformer:
    """Build torchvision's ``swin_v2_b`` (Liu et al. 2022), see :class:`SwinArguments`."""
    return _build("swin_v2_b", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import SwinTransformer
    from chainfpn.models._classifier import build_classifier

    channels, n_blocks, n_heads, side, v2, probability = ARCHITECTURES[name]
    make = partial(SwinTransformer, channels, n_blocks, n_heads, side, v2=v2)
    return build_classifier(name, make, arguments, {"stochastic_depth_prob": probability})
