"""Updates by the gradients of several batches together."""

import time

import chainer
from chainer.training.updaters import StandardUpdater

from chainfpn.datasets import collate
from chainfpn.errors import InvalidArgument


class AccumulatingUpdater(StandardUpdater):
    """Update with the mean gradient of several parts of each batch, of which only one is in memory at a time.

    A batch of 16 in 4 parts takes the memory of 4 images. It is one of 16 where the loss is a mean over images; what
    is reported is the mean over the parts.

    Args:
        iterator (chainer.dataset.Iterator): Gives the batches.
        optimizer (chainer.Optimizer): Set up with a chain that returns a loss.
        n_parts (int): Parts of a batch, all equally large.
        device (device specifier): Where to compute.

    Attributes:
        seconds_waited (float): How long the updates have waited for examples so far.

    Raises:
        ValueError: if the iterator's batch cannot be parted so.

    Source:
        detectron2 and ultralytics ``accumulate``; PyTorch's documentation of ``autograd``.
    """

    def __init__(
        self,
        iterator: chainer.dataset.Iterator,
        optimizer: chainer.Optimizer,
        *,
        n_parts: int = 1,
        device: chainer.backend.Device | str | None = None,
    ) -> None:
        if n_parts < 1 or iterator.batch_size % n_parts:
            rule = f">= 1 and divide the batch of {iterator.batch_size}"
            raise InvalidArgument("AccumulatingUpdater", "n_parts", rule, n_parts)
        super().__init__(iterator, optimizer, converter=collate, device=device)
        self.n_parts, self.seconds_waited = n_parts, 0.0

    def update_core(self) -> None:
        """Update once."""
        optimizer, begin = self.get_optimizer("main"), time.perf_counter()
        examples = next(self.get_iterator("main"))
        self.seconds_waited += time.perf_counter() - begin
        if self.n_parts == 1:
            optimizer.update(optimizer.target, *collate(examples, self.input_device))
            return
        optimizer.target.cleargrads()
        size = len(examples) // self.n_parts
        observations: list[dict] = []
        reporter = _reporter(optimizer.target)
        for start in range(0, len(examples), size):
            observations.append({})
            with reporter.scope(observations[-1]):
                loss = optimizer.target(*collate(examples[start : start + size], self.input_device)) / self.n_parts
            loss.backward(loss_scale=optimizer._loss_scale)
            del loss  # and with it what the next part has no room for
        means = {
            name: sum(chainer.as_array(part[name]) for part in observations) / self.n_parts for name in observations[0]
        }
        reporter.observation.update(means)
        optimizer.update()


def _reporter(chain: chainer.Chain) -> chainer.Reporter:
    """Return the trainer's reporter, or one that nobody listens to where an update is called without a trainer."""
    try:
        return chainer.reporter.get_current_reporter()
    except IndexError:
        reporter = chainer.Reporter()
        reporter.add_observer("main", chain)
        reporter.add_observers("main", chain.namedlinks(skipself=True))
        return reporter
