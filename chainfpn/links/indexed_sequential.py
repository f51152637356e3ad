"""A sequence whose children are numbered as in ``torch.nn.Sequential``."""

from chainercv.links import PickableSequentialChain


class IndexedSequential(PickableSequentialChain):
    """Call layers one after the other, each named by its position.

    Functions count too, so that the convolution behind an activation is child ``"2"`` here as it is ``2`` in torch
    (Chainer's own ``Sequential`` counts links only). Outputs can be picked by name, see ChainerCV's
    ``PickableSequentialChain``.

    Args:
        *layers (callable): Links and functions of one argument, in order.

    Example:
        >>> import chainer.functions as F
        >>> import chainer.links as L
        >>> [name for name, _ in IndexedSequential(F.relu, L.Linear(2, 3, nobias=True)).namedparams()]
        ['/1/W']
    """

    def __init__(self, *layers):
        super().__init__()
        with self.init_scope():
            for i, layer in enumerate(layers):
                setattr(self, str(i), layer)
