import chainer
import numpy as np

from chainfpn.datasets import collate


def test_a_batch_becomes_lists_that_an_updater_spreads_out():
    batch = [
        (np.zeros((3, 4, 5), np.float32), np.zeros((2, 4), np.float32), np.zeros(2, np.int32)),
        (np.zeros((3, 6, 3), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.int32)),
    ]
    seen = []

    class Chain(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.w = chainer.Parameter(np.zeros((), np.float32))

        def forward(self, imgs, bboxes, labels):
            seen.append((imgs, bboxes, labels))
            return self.w * 1

    optimizer = chainer.optimizers.SGD().setup(Chain())
    iterator = chainer.iterators.SerialIterator(batch, 2, shuffle=False)
    chainer.training.StandardUpdater(iterator, optimizer, converter=collate).update()
    ((imgs, bboxes, labels),) = seen
    for values, k in ((imgs, 0), (bboxes, 1), (labels, 2)):
        assert isinstance(values, list)
        assert all(value is example[k] for value, example in zip(values, batch, strict=True))
