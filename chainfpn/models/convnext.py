"""ConvNeXt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from chainfpn.models._record import V1, classifiers, imagenet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import ConvNeXt
    from chainfpn.models._types import Pretrained


class Architecture(NamedTuple):
    """The numbers of a network: channels and blocks of each stage, and how often the last block is left out."""

    channels: tuple[int, ...]
    n_blocks: tuple[int, ...]
    stochastic_depth_prob: float

    @property
    def stages(self) -> dict[str, int]:
        """Where the maps of stride 4, 8, 16 and 32 end, and their channels."""
        return {f"features.{2 * i + 1}": width for i, width in enumerate(self.channels)}


#: Liu et al. 2022, section 3; torchvision 0.14.
ARCHITECTURES = {
    "convnext_tiny": Architecture((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": Architecture((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": Architecture((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": Architecture((192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
}

_imagenet = partial(imagenet, eps=None)

RECORDS = classifiers(
    "convnext",
    __name__,
    {
        "convnext_tiny": {V1: _imagenet("convnext_tiny-983f1562", 82.52, resize=236)},
        "convnext_small": {V1: _imagenet("convnext_small-0c510722", 83.616, resize=230)},
        "convnext_base": {V1: _imagenet("convnext_base-6075fbad", 84.062, resize=232)},
        "convnext_large": {V1: _imagenet("convnext_large-ea097f82", 84.414, resize=232)},
    },
    head="classifier.2",
    stages={name: architecture.stages for name, architecture in ARCHITECTURES.items()},
)
__all__ = [model.name for model in RECORDS]


class ConvNeXtArguments(TypedDict, total=False):
    """Options of the ConvNeXts; what all classifiers share is described in :mod:`chainfpn.models`.

    Attributes:
        stochastic_depth_prob (float): Probability that a block is left out of an image in training, of the last block;
            torchvision's for the network by default.
    """

    stochastic_depth_prob: float


def convnext_tiny(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ConvNeXtArguments]
) -> ConvNeXt:
    """Build torchvision's ``convnext_tiny`` (Liu et al. 2022), see :class:`ConvNeXtArguments`."""
    return _build("convnext_tiny", locals())


def convnext_small(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ConvNeXtArguments]
) -> ConvNeXt:
    """Build torchvision's ``convnext_small`` (Liu et al. 2022), see :class:`ConvNeXtArguments`."""
    return _build("convnext_small", locals())


def convnext_base(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ConvNeXtArguments]
) -> ConvNeXt:
    """Build torchvision's ``convnext_base`` (Liu et al. 2022), see :class:`ConvNeXtArguments`."""
    return _build("convnext_base", locals())


def convnext_large(
    n_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[ConvNeXtArguments]
) -> ConvNeXt:
    """Build torchvision's ``convnext_large`` (Liu et al. 2022), see :class:`ConvNeXtArguments`."""
    return _build("convnext_large", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links import ConvNeXt
    from chainfpn.models._classifier import build_classifier

    channels, n_blocks, probability = ARCHITECTURES[name]
    make = partial(ConvNeXt, channels, n_blocks)
    return build_classifier(name, make, arguments, {"stochastic_depth_prob": probability})
