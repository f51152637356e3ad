"""The SqueezeNets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from chainfpn.models._record import FIRST, V1, classifiers, imagenet

if TYPE_CHECKING:
    from chainfpn.links.backbones.squeezenet import SqueezeNet
    from chainfpn.models._types import Pretrained

RECORDS = classifiers(
    "squeezenet",
    __name__,
    {
        "squeezenet1_0": {
            V1: imagenet("squeezenet1_0-b66bff10", 58.092, eps=None),
            FIRST: imagenet("squeezenet1_0-a815701f", eps=None),
        },
        "squeezenet1_1": {
            V1: imagenet("squeezenet1_1-b8a52dc0", 58.178, eps=None),
            FIRST: imagenet("squeezenet1_1-f364aa15", eps=None),
        },
    },
    head="classifier.1",
    fingerprints={"squeezenet1_0": 0x4A193C8D, "squeezenet1_1": 0x4F9CCB21},
)
__all__ = [model.name for model in RECORDS]

#: Channels and kernel of the first convolution, fire blocks per resolution.
_SQUEEZENETS = {"squeezenet1_0": ((96, 7), (3, 4, 1)), "squeezenet1_1": ((64, 3), (2, 2, 4))}


def squeezenet1_0(
    n_class: int | None = None, pretrained_model: Pretrained = None, *, dropout: float | None = None
) -> SqueezeNet:
    """Build torchvision's ``squeezenet1_0``.

    Args:
        n_class (int or None): Class scores; as many as the weights have, else 1000, by default.
        pretrained_model (str, os.PathLike or None): ``'imagenet'`` for torchvision's weights, or the
            path of an .npz or a checkpoint.
        dropout (float or None): Share of the features dropped before the last layer in training; what the weights
            say, else 0.5, by default.

    Returns:
        chainfpn.links.SqueezeNet: Maps (B, 3, H, W) to (B, n_class) class scores, or to what its ``pick`` names.

    Raises:
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Iandola et al. 2016; torchvision 0.14 ``squeezenet1_0``.
    """
    return _build("squeezenet1_0", locals())


def squeezenet1_1(
    n_class: int | None = None, pretrained_model: Pretrained = None, *, dropout: float | None = None
) -> SqueezeNet:
    """Build torchvision's ``squeezenet1_1``.

    Args:
        n_class (int or None): Class scores; as many as the weights have, else 1000, by default.
        pretrained_model (str, os.PathLike or None): ``'imagenet'`` for torchvision's weights, or the
            path of an .npz or a checkpoint.
        dropout (float or None): Share of the features dropped before the last layer in training; what the weights
            say, else 0.5, by default.

    Returns:
        chainfpn.links.SqueezeNet: Maps (B, 3, H, W) to (B, n_class) class scores, or to what its ``pick`` names.

    Raises:
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Iandola et al. 2016; torchvision 0.14 ``squeezenet1_1``.
    """
    return _build("squeezenet1_1", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links.backbones.squeezenet import SqueezeNet
    from chainfpn.models._classifier import build_classifier

    return build_classifier(name, partial(SqueezeNet, *_SQUEEZENETS[name]), arguments, {"dropout": 0.5})
