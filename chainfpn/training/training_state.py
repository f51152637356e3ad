"""What of a training's state Chainer leaves out of a snapshot: random numbers, and mixed precision."""

import chainer
import numpy as np
from chainer.training import extension


class StateExtension(extension.Extension):
    """Put a state into the trainer's snapshot, and back; do nothing else.

    Subclasses define ``serialize``.
    """

    trigger = 1, "epoch"

    def __call__(self, trainer: chainer.training.Trainer) -> None:
        """Do nothing; the state matters when it is serialized."""


class RandomState(StateExtension):
    """Let a training that is resumed draw the numbers that it would have drawn.

    Everything here draws from NumPy's global generator: the order of the examples, the transforms, the samplers. The
    snapshot keeps its state.
    """

    name = "RandomState"

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write the state of the generator, or set it.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        kind, keys, *numbers = np.random.get_state()
        keys = serializer("keys", keys)
        entries = zip(("position", "has_gauss", "gauss"), (int, int, float), numbers, strict=True)
        position, has_gauss, gauss = (to(serializer(name, value)) for name, to, value in entries)
        np.random.set_state((kind, keys, position, has_gauss, gauss))


class MixedPrecisionState(StateExtension):
    """Let a training in mixed precision that is resumed go on from the weights it really has.

    With ``use_fp32_update`` an optimizer updates a float32 copy of every float16 parameter, which is only that copy,
    rounded; with ``loss_scaling`` it searches for the largest scale of the loss. The snapshot keeps both; in full
    precision there is nothing to keep.

    Args:
        optimizer (chainer.Optimizer): The optimizer, set up, and with what is frozen frozen.
    """

    name = "MixedPrecisionState"

    def __init__(self, optimizer: chainer.Optimizer) -> None:
        self.optimizer = optimizer

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Write the float32 weights and the scale of the loss, or set them.

        Args:
            serializer (chainer.AbstractSerializer): The writer or reader.
        """
        optimizer = self.optimizer  # Chainer has no public way to any of this
        if optimizer._loss_scaling_is_dynamic:
            optimizer._loss_scale = float(serializer("loss_scale", optimizer._loss_scale))
            overflowed = serializer("overflowed", int(optimizer._loss_scaling_isnan_ever))
            optimizer._loss_scaling_isnan_ever = bool(overflowed)
        for path, param in sorted(optimizer.target.namedparams()):
            rule = param.update_rule
            if rule is None or not (rule.enabled and rule._use_fp32_update) or param.dtype != np.float16:
                continue
            if rule._fp32_param is None:
                rule._fp32_param = chainer.Parameter(param.array.astype(np.float32), name=param.name)
            rule._fp32_param.array = serializer(f"float32{path}", rule._fp32_param.array)
