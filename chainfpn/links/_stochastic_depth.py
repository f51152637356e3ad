"""Stochastic depth: in training, blocks are left out of some images."""

import chainer
from chainer import backend

from chainfpn._typing import Variable


def stochastic_depth(x: Variable, p: float) -> Variable:
    """Set all that a block adds to an image to zero with a probability, in training; scale up what is left.

    Args:
        x (Variable): (B, ...), the block's output before it is added to its input.
        p (float): The probability, in 0 to 1.

    Returns:
        Variable: dtype and shape of x; x itself outside of training.

    Source:
        Huang et al. 2016, section 3; torchvision 0.14 ``stochastic_depth`` in mode ``"row"``.
    """
    if not (chainer.config.train and p):
        return x
    xp = backend.get_array_module(x)
    kept = xp.random.random(len(x)) >= p  # (B,)
    scale = kept.astype(x.dtype) * (1 / (1 - p) if p < 1 else 0)  # (B,)
    return x * scale.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))  # (B, ...)


def depth_probabilities(last: float, n_blocks: int, *, reached: bool = True) -> list[float]:
    """Return the probability of each block, which grows from 0 by equal steps.

    Args:
        last (float): The largest.
        n_blocks (int): Blocks of the network.
        reached (bool): Whether the last block has it, or one after it would have.

    Returns:
        list of float: One per block.
    """
    return [last * i / (n_blocks - reached) for i in range(n_blocks)]
