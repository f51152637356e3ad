"""The optimizer of a training and its learning rate, from options."""

import argparse

import chainer

from chainfpn import training
from chainfpn._typing import Communicator
from chainfpn.cli.errors import CommandError

#: Steps of the warm-up where an epoch has as many.
_WARM_UP = 200


def batch_size(settings: argparse.Namespace) -> int:
    """Return how many images a process has in a step."""
    return settings.batch * settings.accumulate


def learning_rate(settings: argparse.Namespace, comm: Communicator) -> float:
    """Return the learning rate after the warm-up, by the linear scaling rule if that is asked for.

    Source:
        Goyal et al. 2017, section 2.1.
    """
    if settings.lr_batch is None:
        return settings.lr
    return settings.lr * batch_size(settings) * (1 if comm is None else comm.size) / settings.lr_batch


def make_optimizer(chain: chainer.Chain, settings: argparse.Namespace, comm: Communicator) -> chainer.Optimizer:
    """Set the optimizer up with its hooks, and freeze what is not trained.

    Args:
        chain (chainer.Chain): What is trained; its ``model`` is the detector.
        settings (argparse.Namespace): The options of ``chainfpn train``.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        chainer.Optimizer: The optimizer.

    Raises:
        CommandError: if there are not so many layers to train.
    """
    optimizer = _optimizer(settings, learning_rate(settings, comm))
    if settings.dtype == "mixed16":
        training.use_mixed_precision(optimizer)
    training.fuse_updates(optimizer)
    if comm is None:
        optimizer.setup(chain)
    else:
        optimizer = training.multi_node_optimizer(optimizer, chain, comm)
    optimizer.add_hook(training.GradientClipping(settings.clip))
    _decay(optimizer, chain, settings)
    if settings.trainable_layers is not None:
        try:
            training.freeze_backbone(chain.model, settings.trainable_layers)
        except ValueError as error:
            raise CommandError(f"--trainable-layers: {error}") from error
    return optimizer


def make_schedule(settings: argparse.Namespace, n_images: int, comm: Communicator) -> training.Schedule:
    """Return the learning rate of each step.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.
        n_images (int): Images of a process in an epoch.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        callable: Number of updates done to learning rate.
    """
    lr, n_epochs = learning_rate(settings, comm), settings.epochs
    n_steps = n_images * n_epochs // batch_size(settings)
    warm_up = min(_WARM_UP, n_images // batch_size(settings)) if settings.warm_up is None else settings.warm_up
    if settings.schedule == "cosine":
        schedule = training.cosine_schedule(lr, n_steps, final=0.02)
    elif settings.schedule == "constant":
        schedule = training.step_schedule(lr, [])
    elif settings.milestones:
        milestones = sorted(epoch * n_images // batch_size(settings) for epoch in settings.milestones)
        schedule = training.step_schedule(lr, milestones)
    else:
        schedule = training.step_schedule(lr, [n_steps * 2 // 3, n_steps * 8 // 9])
    return training.warm_up(schedule, warm_up)


def _optimizer(settings, lr):
    if settings.optimizer == "momentum":
        return chainer.optimizers.MomentumSGD(lr=lr, momentum=settings.momentum)
    # Chainer does not multiply the decay by alpha, as PyTorch and Loshchilov and Hutter 2019 do
    decay = lr * settings.weight_decay if settings.optimizer == "adamw" else 0
    return chainer.optimizers.Adam(alpha=lr, weight_decay_rate=decay)


def _decay(optimizer, chain, settings):
    """Let weights decay: all, or all but those of one dimension, which are biases and those of normalizations."""
    is_decoupled = settings.optimizer == "adamw"
    if not settings.decay_weights_only:
        if not is_decoupled:
            optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(settings.weight_decay))
        return
    for param in chain.params():
        if param.ndim <= 1 and is_decoupled:
            param.update_rule.hyperparam.weight_decay_rate = 0
        elif param.ndim > 1 and not is_decoupled:
            param.update_rule.add_hook(chainer.optimizer_hooks.WeightDecay(settings.weight_decay))
