"""Group normalization as torchvision's detectors use it."""

import chainer.links as L

from chainfpn.errors import InvalidArgument


class GroupNormalization(L.GroupNormalization):
    """Chainer's group normalization, constructed with a number of channels as the other normalizations are.

    It has the names ``gamma`` and ``beta`` of batch normalization, and no statistics: it is the same in training and in
    test mode, and for any size of batch.

    Args:
        size (int): Channels, a multiple of ``groups``.
        groups (int): Groups that share a mean and a variance.
        eps (float): Added to the variance before the square root.

    Raises:
        ValueError: if ``size`` is not a multiple of ``groups``.

    Source:
        Wu and He 2018; torchvision 0.14 ``retinanet_resnet50_fpn_v2``, ``FCOSHead`` (the numbers).
    """

    def __init__(self, size: int, *, groups: int = 32, eps: float = 1e-5) -> None:
        if size % groups:
            raise InvalidArgument("GroupNormalization", "size", f"a multiple of groups = {groups}", size)
        super().__init__(groups, size, eps=eps)
