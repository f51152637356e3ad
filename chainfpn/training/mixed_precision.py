"""What training in mixed precision has beyond the weights, in the snapshot."""

import chainer
import numpy as np

from chainfpn.training.state_extension import StateExtension


class MixedPrecisionState(StateExtension):
    """Let a training in mixed precision that is resumed go on from the weights it really has.

    With ``use_fp32_update`` an optimizer updates a float32 copy of every float16 parameter, which is only that copy,
    rounded; with ``loss_scaling`` it looks for the largest scale of the loss. Chainer writes neither into a snapshot.
    As a trainer's extension this one does nothing but put both there, and take them back; in full precision there is
    nothing to put.

    Args:
        optimizer (chainer.Optimizer): The optimizer, set up, and with what is frozen frozen.
    """

    name = "MixedPrecisionState"

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def serialize(self, serializer):
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
