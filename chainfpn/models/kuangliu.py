"""kuangliu/pytorch-fpn's two pyramids, and kuangliu/pytorch-retinanet's detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainfpn._option_rules import check_option
from chainfpn.models._build import build
from chainfpn.models._options import DetectorArguments, DetectorOptions
from chainfpn.models._record import Model, detectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chainfpn.links import KuangliuFPN, KuangliuRetinaNet
    from chainfpn.models._trunks import TrunkClassifier
    from chainfpn.models._types import Pretrained

RECORDS = (
    *(Model(name, "kuangliu_fpn", __name__, ("maps",), {}, None) for name in ("fpn50", "fpn101")),
    *detectors("kuangliu_retinanet", __name__, {"retinanet_kuangliu": {}}),
)
__all__ = [model.name for model in RECORDS]

#: Per level from P3 to P7, the square roots of the anchors' areas; and heights over widths.
ANCHOR_SIZES = [[32 * 2**level * 2 ** (third / 3) for third in range(3)] for level in range(5)]
ASPECT_RATIOS = (2.0, 1.0, 0.5)


def fpn50(pretrained_model: Pretrained = None, *, align_corners: bool | None = None) -> KuangliuFPN:
    """Build kuangliu's ``FPN50``: a ResNet-50 trunk and its pyramid.

    Args:
        pretrained_model (str, os.PathLike or None): Path of an .npz or a checkpoint.
        align_corners (bool or None): See :class:`~chainfpn.links.KuangliuFPN`; what the weights say, else False, by
            default.

    Returns:
        chainfpn.links.KuangliuFPN: Maps (B, 3, H, W) to p2, p3, p4, p5.
    """
    return _build_fpn("fpn50", (3, 4, 6, 3), pretrained_model, align_corners)


def fpn101(pretrained_model: Pretrained = None, *, align_corners: bool | None = None) -> KuangliuFPN:
    """Build kuangliu's ``FPN101``, whose trunk has two blocks per stage, not ResNet-101's [3, 4, 23, 3].

    The name promises more than the original builds: its source keeps the true numbers in a comment. Weights trained
    with it have this shape, so it is kept. Arguments and result are those of :func:`fpn50`.
    """
    return _build_fpn("fpn101", (2, 2, 2, 2), pretrained_model, align_corners)


def _build_fpn(
    name: str, n_blocks: tuple[int, ...], pretrained_model: Pretrained, align_corners: bool | None
) -> KuangliuFPN:
    from chainfpn.links import KuangliuFPN
    from chainfpn.models._weights import find_weights

    weights = None if pretrained_model is None else find_weights(pretrained_model, name=name)
    if align_corners is None:
        align_corners = weights is not None and weights.arguments.get("align_corners", False)
    check_option(name, "align_corners", align_corners)
    link = KuangliuFPN(n_blocks, align_corners=align_corners)
    link.meta = {"model": name, "arguments": {"align_corners": True} if align_corners else {}}
    return link if weights is None else weights.load_into(link)


class KuangliuRetinaNetArguments(DetectorArguments, total=False):
    """Options of kuangliu's RetinaNet, see :class:`KuangliuRetinaNetOptions`."""

    align_corners: bool
    image_size: int


@dataclass(frozen=True)
class KuangliuRetinaNetOptions(DetectorOptions):
    """Options of kuangliu's RetinaNet; the labels are as many as Pascal VOC has.

    Attributes:
        align_corners (bool): How coarser levels are enlarged, see :class:`~chainfpn.links.KuangliuFPN`.
        image_size (int): The sides that every image is resized to, whatever its shape.
    """

    n_fg_class: int | None = 20
    align_corners: bool = False
    image_size: int = 600


#: Every option's default, by builder.
DEFAULTS = {"retinanet_kuangliu": KuangliuRetinaNetOptions("retinanet_kuangliu")}


def retinanet_kuangliu(
    n_fg_class: int | None = None, pretrained_model: Pretrained = None, **options: Unpack[KuangliuRetinaNetArguments]
) -> KuangliuRetinaNet:
    """Build the RetinaNet of kuangliu/pytorch-retinanet, on a ResNet-50.

    Options: :class:`KuangliuRetinaNetArguments`. Source: Lin et al. 2017 (RetinaNet); kuangliu/pytorch-retinanet.
    """
    return build("retinanet_kuangliu", locals(), _assemble, trunk_classifier=_trunk_classifier)


def _assemble(options: KuangliuRetinaNetOptions) -> KuangliuRetinaNet:
    from chainfpn.boxes import KuangliuAnchorGenerator
    from chainfpn.links import KuangliuRetinaNet, Preprocess

    base = options.base(Preprocess(fixed_size=(options.image_size, options.image_size), size_divisible=1))
    del base["class_ids"]
    return KuangliuRetinaNet(
        base.pop("n_fg_class"),
        KuangliuAnchorGenerator(ANCHOR_SIZES, ASPECT_RATIOS),
        align_corners=options.align_corners,
        **base,
    )


def _trunk_classifier(options: KuangliuRetinaNetOptions) -> TrunkClassifier:
    from chainfpn.models._trunks import TrunkClassifier

    prefixes = {name: f"fpn/{name}" for name in ("conv1/", "bn1/", "layer1/", "layer2/", "layer3/", "layer4/")}
    return TrunkClassifier("resnet50", prefixes, ("fc/",))
