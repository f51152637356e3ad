"""GoogLeNet and Inception v3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chainfpn.models._record import FIRST, V1, classifiers, imagenet

if TYPE_CHECKING:
    from chainfpn.links.backbones.googlenet import GoogLeNet
    from chainfpn.links.backbones.inception import InceptionV3
    from chainfpn.models._types import Pretrained

RECORDS = (
    *classifiers(
        "googlenet",
        __name__,
        {"googlenet": {V1: imagenet("googlenet-1378be20", 69.778, eps=1e-3, transform_input=True, aux_logits=False)}},
        fingerprints={"googlenet": 0xBDC8D397},
    ),
    *classifiers(
        "inception",
        __name__,
        {
            "inception_v3": {
                V1: imagenet(
                    "inception_v3_google-0cc3c7bd", 77.294, eps=1e-3, resize=342, crop=299, transform_input=True
                ),
                FIRST: imagenet("inception_v3_google-1a9a5a14", eps=1e-3, resize=342, crop=299, transform_input=True),
            }
        },
        fingerprints={"inception_v3": 0xBAC1C987},
    ),
)
__all__ = [model.name for model in RECORDS]


def googlenet(
    n_class: int | None = None, pretrained_model: Pretrained = None, *, aux_logits: bool | None = None,
    transform_input: bool | None = None, dropout: float | None = None,
) -> GoogLeNet:  # fmt: skip
    """Build torchvision's ``googlenet``.

    Args:
        n_class (int or None): Class scores; as many as the weights have, else 1000, by default.
        pretrained_model (str, os.PathLike or None): ``'imagenet'`` for torchvision's weights, or the
            path of an .npz or a checkpoint.
        aux_logits (bool or None): With the auxiliary heads; what the weights have, else True, by default.
        transform_input (bool or None): Whether the input is normalized as for torchvision's other models; what the
            weights say, else False, by default.
        dropout (float or None): Share of the features dropped before the last layer in training; what the weights
            say, else 0.2, by default.

    Returns:
        chainfpn.links.GoogLeNet: Maps (B, 3, H, W) to (B, n_class) class scores, or to what its ``pick`` names.

    Raises:
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Szegedy et al. 2015; torchvision 0.14 ``googlenet``.
    """
    return _build("googlenet", locals())


def inception_v3(
    n_class: int | None = None, pretrained_model: Pretrained = None, *, aux_logits: bool | None = None,
    transform_input: bool | None = None, dropout: float | None = None,
) -> InceptionV3:  # fmt: skip
    """Build torchvision's ``inception_v3``.

    Args:
        n_class (int or None): Class scores; as many as the weights have, else 1000, by default.
        pretrained_model (str, os.PathLike or None): ``'imagenet'`` for torchvision's weights, or the
            path of an .npz or a checkpoint.
        aux_logits (bool or None): With the auxiliary heads; what the weights have, else True, by default.
        transform_input (bool or None): Whether the input is normalized as for torchvision's other models; what the
            weights say, else False, by default.
        dropout (float or None): Share of the features dropped before the last layer in training; what the weights
            say, else 0.5, by default.

    Returns:
        chainfpn.links.InceptionV3: Maps (B, 3, H, W) to (B, n_class) class scores, or to what its ``pick`` names.

    Raises:
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        Szegedy et al. 2016; torchvision 0.14 ``inception_v3``.
    """
    return _build("inception_v3", locals())


def _build(name: str, arguments: Mapping[str, Any]) -> Any:
    from chainfpn.links.backbones.googlenet import GoogLeNet
    from chainfpn.links.backbones.inception import InceptionV3
    from chainfpn.models._classifier import build_classifier

    link, dropout = (GoogLeNet, 0.2) if name == "googlenet" else (InceptionV3, 0.5)
    defaults = {"aux_logits": True, "transform_input": False, "dropout": dropout}
    auxiliary = tuple(f"{head}/" for head in link.auxiliary.values())
    return build_classifier(name, link, arguments, defaults, auxiliary=auxiliary)
