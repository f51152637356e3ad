"""Builders of kuangliu/pytorch-fpn's two pyramids."""

from chainfpn.links.kuangliu_fpn import KuangliuFPN
from chainfpn.models.weights import find_weights


def fpn50(pretrained_model=None, *, align_corners=None):
    """Build kuangliu's ``FPN50``: a ResNet-50 trunk and its pyramid.

    Args:
        pretrained_model (str, os.PathLike or None): Path of an .npz or a checkpoint.
        align_corners (bool or None): See :class:`~chainfpn.links.KuangliuFPN`; what the weights say, else False, by
            default.

    Returns:
        chainfpn.links.KuangliuFPN: Maps (B, 3, H, W) to p2, p3, p4, p5.
    """
    return _build("fpn50", (3, 4, 6, 3), pretrained_model, align_corners)


def fpn101(pretrained_model=None, *, align_corners=None):
    """Build kuangliu's ``FPN101``, whose trunk has two blocks per stage, not ResNet-101's [3, 4, 23, 3].

    The name promises more than the original builds: its source keeps the true numbers in a comment. Weights trained
    with it have this shape, so it is kept.

    Args:
        pretrained_model (str, os.PathLike or None): Path of an .npz or a checkpoint.
        align_corners (bool or None): See :class:`~chainfpn.links.KuangliuFPN`; what the weights say, else False, by
            default.

    Returns:
        chainfpn.links.KuangliuFPN: Maps (B, 3, H, W) to p2, p3, p4, p5.
    """
    return _build("fpn101", (2, 2, 2, 2), pretrained_model, align_corners)


def _build(name, n_blocks, pretrained_model, align_corners):
    weights = find_weights(pretrained_model, name=name, zoo=())
    if align_corners is None:
        said = {} if weights is None else weights.meta.get("arguments", {})
        align_corners = said.get("align_corners", False)
    link = KuangliuFPN(n_blocks, align_corners=align_corners)
    return link if weights is None else weights.load_into(link)
