"""The state of the random numbers, in the snapshot."""

import numpy as np

from chainfpn.training.state_extension import StateExtension


class RandomState(StateExtension):
    """Let a training that is resumed draw the numbers that it would have drawn.

    Everything here draws from NumPy's global generator: the order of the examples, the transforms, the samplers. As a
    trainer's extension this one does nothing but put that generator's state into the trainer's snapshot, and back.
    """

    name = "RandomState"

    def serialize(self, serializer):
        """Write the state of the generator, or set it.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        _, keys, position, has_gauss, gauss = np.random.get_state()
        keys = serializer("keys", keys)
        position, has_gauss = (int(serializer(*entry)) for entry in (("position", position), ("has_gauss", has_gauss)))
        gauss = float(serializer("gauss", gauss))
        np.random.set_state(("MT19937", keys, position, has_gauss, gauss))
