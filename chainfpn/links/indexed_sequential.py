"""Layers one after another, numbered as torch numbers them."""

from collections.abc import Callable
from typing import Any

from chainfpn.links.layers import SequentialChain


class IndexedSequential(SequentialChain):
    """Apply layers in turn; a layer's name is its position, functions counted.

    ``chainer.Sequential`` numbers only its links, and from the third on in an order that is not theirs;
    ``torch.nn.Sequential`` numbers all its layers: in ``IndexedSequential(conv, F.relu, conv)`` the second convolution
    is ``2``, as in torch, so that weights keep their names. What is returned is set by ``pick`` (a name such as
    ``'2'`` or several), the last output by default.

    Args:
        *layers (callable): Links and functions of one argument.
        start (int): Number of the first, where they are the end of a longer sequence.

    Example:
        >>> import chainer.functions as F, chainer.links as L
        >>> from chainfpn.links import IndexedSequential
        >>> layers = IndexedSequential(L.Linear(2, 3), F.relu, L.Linear(3, 1))
        >>> sorted(name for name, _ in layers.namedparams())
        ['/0/W', '/0/b', '/2/W', '/2/b']
        >>> layers[-1] is layers["2"], len(layers)
        (True, 3)
    """

    def __init__(self, *layers: Callable, start: int = 0) -> None:
        super().__init__()
        with self.init_scope():
            for i, layer in enumerate(layers, start):
                setattr(self, str(i), layer)

    def __len__(self) -> int:
        return len(self.layer_names)

    def __getitem__(self, index: int | str) -> Any:
        """Return a layer by its position or its name.

        Args:
            index (int or str): Position, from the end if negative, or name.

        Returns:
            callable: The layer.

        Raises:
            IndexError: if there is no such position.
            AttributeError: if there is no such name.
        """
        return super().__getitem__(self.layer_names[index] if isinstance(index, int) else index)
