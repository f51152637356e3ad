"""One training step of our Faster R-CNN, stage by stage."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import chainfpn  # noqa: F401  # isort: skip
import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainercv.utils import read_image

from bench_utils.flops import FlopCounter
from chainfpn import links, models
from chainfpn._typing import PathLike, Variable
from chainfpn.data import photograph_path
from chainfpn.links.detectors.roi_heads import fastrcnn_loss
from chainfpn.training import TrainChain, freeze_backbone, fuse_updates

#: The person in the bundled photograph, yxyx.
BBOX = np.array([[14, 74, 510, 379]], np.float32)

#: Stages of a step, in order.
STAGES = (
    "prepare",
    "trunk forward",
    "trunk backward",
    "RPN and box heads",
    "proposals",
    "targets",
    "RoI ops",
    "losses",
    "update",
)


class Network(NamedTuple):
    """A Faster R-CNN that both sides can build."""

    depth: int
    stages: tuple
    fpn_channels: int
    head_channels: int
    n_fg_class: int


class Laps:
    """Adds up the time of the stages of a step; each lap counts from the one before.

    Args:
        processor (bool): Take the time of this thread's processor instead of the clock on the wall.
        wait (callable): Waits for the device.
    """

    def __init__(self, processor: bool, wait: Callable[[], object]) -> None:
        self.clock = time.thread_time if processor else time.perf_counter
        self.wait = wait
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.seconds: dict[str, float] = {}
        self.last = self.clock()

    def lap(self, stage: str) -> None:
        """Let the time since the last lap count for a stage."""
        self.wait()
        now = self.clock()
        self.seconds[stage] = self.seconds.get(stage, 0) + now - self.last
        self.last = now

    def run(self, step: Callable[[Callable[[str], None]], object], repeat: int) -> dict[str, list[float]]:
        """Run a step once to warm up, then time it: a list of seconds for each stage.

        Garbage is collected between the steps, not in the middle of any stage.
        """
        step(self.lap)
        runs = []
        for _ in range(repeat):
            gc.collect()
            gc.disable()
            self.reset()
            step(self.lap)
            gc.enable()
            runs.append(self.seconds)
        return {stage: [run[stage] for run in runs] for stage in runs[0]}


class Ours:
    """Our detector in training.

    Args:
        network (Network): What to build.
        min_size (int): Shorter side of the image in the netflops.
        path (path or None): The checkpoint.
        lr (float): Learning rate of SGD.
        device (str): Chainer's name of where it is.
    """

    def __init__(
        self, network: Network, min_size: int, path: PathLike | None, lr: float, device: str = "@numpy"
    ) -> None:
        options = network._asdict()
        self.model = models.fasterrcnn_resnet_fpn(pretrained_model=path, min_size=min_size, norm_eps=1e-5, **options)
        self.chain = TrainChain(self.model)
        self.chain.to_device(device)
        self.optimizer = chainer.optimizers.MomentumSGD(lr=lr, momentum=0.9).setup(self.chain)
        fuse_updates(self.optimizer)
        self.optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(1e-4))
        freeze_backbone(self.model, 3)
        self.chain.cleargrads()
        self.img = read_image(str(photograph_path()))

    def step(self, lap: Callable[[str], object]) -> list[float]:
        """Do the staged step; return the losses in torchvision's order."""
        rpn, heads, chain = self.model.rpn, self.model.roi_heads, self.chain
        x, sizes, gt_bboxes, gt_classes = chain.batch([self.img], [BBOX], [np.zeros(1, np.int32)])
        lap("prepare")
        maps = self.model.backbone(x)
        lap("trunk forward")
        leaves = _cut(maps)
        logits, deltas = rpn.head(leaves)
        lap("RPN and box heads")
        anchors = rpn.anchors(leaves, x.shape[2:])
        proposals = rpn.propose(logits, deltas, anchors, sizes)
        lap("proposals")
        outs, out_leaves = [*logits, *deltas], _cut([*logits, *deltas])
        n = len(logits)
        sampled_anchors = rpn.sample_anchors(anchors, gt_bboxes)
        lap("targets")
        losses = rpn.compute_loss(out_leaves[:n], out_leaves[n:], sampled_anchors)
        F.add(*losses.values()).backward()
        lap("losses")
        chainer.backward(outs, [leaf.grad_var for leaf in out_leaves])
        lap("RPN and box heads")
        sampled = heads.sample_proposals(proposals, gt_bboxes, gt_classes)
        lap("targets")
        pooled = heads.pool(self.model.roi_levels(leaves), [image.bbox for image in sampled], sizes, heads.outsize)
        lap("RoI ops")
        (pooled_leaf,) = _cut([pooled])
        predicted = heads.box_predictor(heads.box_head(pooled_leaf))
        lap("RPN and box heads")
        class_leaf, box_leaf = predicted_leaves = _cut(predicted)
        losses |= (roi_losses := fastrcnn_loss(class_leaf, box_leaf, sampled))
        F.add(*roi_losses.values()).backward()
        lap("losses")
        chainer.backward(list(predicted), [leaf.grad_var for leaf in predicted_leaves])
        lap("RPN and box heads")
        chainer.backward([pooled], [pooled_leaf.grad_var])
        lap("RoI ops")
        chainer.backward(list(maps), [leaf.grad_var for leaf in leaves])
        lap("trunk backward")
        self.optimizer.update()
        self.chain.cleargrads()
        lap("update")
        return [float(losses[name].array) for name in ("rpn_objectness", "rpn_box", "roi_class", "roi_box")]

    def limits(self, speed: float, bandwidth: float) -> dict[str, float]:
        """Return how long each stage would take at the speed of a matrix product or of a copy."""
        x, *_ = self.chain.batch([self.img], [BBOX], [np.zeros(1, np.int32)])
        with FlopCounter() as flops:
            self.model.backbone(x)
        n_bytes = 20 * sum(param.size for param in self.chain.params() if param.requires_grad)
        return {
            "trunk forward": flops.forward / speed,
            "trunk backward": flops.backward / speed,
            "update": n_bytes / bandwidth,  # parameter, gradient and velocity read, two of them written
        }


def _cut(variables: Any) -> list[Variable]:
    return [chainer.Variable(variable.array) for variable in variables]


@contextlib.contextmanager
def chainers_convolution() -> Iterator[None]:
    """Have all our convolutions computed by Chainer."""
    stock = {"forward": L.Convolution2D.forward, "fused": lambda *args, **options: None}
    with mock.patch.multiple(links.Convolution2D, **stock):
        yield
