"""Images from files through a MultiprocessIterator, as in Chainer's examples/imagenet/train_imagenet.py."""

import random

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import training
from chainer.training import extensions
from PIL import Image


class PreprocessedDataset(chainer.dataset.DatasetMixin):
    """Cropped images."""

    def __init__(self, pairs, mean):
        self.base = chainer.datasets.LabeledImageDataset(pairs)
        self.mean = mean

    def __len__(self):
        return len(self.base)

    def get_example(self, i):
        image, label = self.base[i]
        top = random.randint(0, 3)
        return (image[:, top : top + 32, :32] - self.mean) / 255.0, label


def main():
    """Write eight images, and train a convolution on them for an epoch."""
    pairs = []
    for i in range(8):
        Image.fromarray(np.full((36, 36, 3), 30 * i, np.uint8)).save(f"{i}.png")
        pairs.append((f"{i}.png", i % 2))
    model = L.Classifier(
        chainer.Sequential(L.Convolution2D(None, 4, 3), F.relu, L.BatchNormalization(4), L.Linear(None, 2))
    )
    data = PreprocessedDataset(pairs, np.zeros((3, 32, 32), np.float32))
    train_iter = chainer.iterators.MultiprocessIterator(data, 4, n_processes=2)
    val_iter = chainer.iterators.MultiprocessIterator(data, 4, repeat=False, n_processes=2)
    optimizer = chainer.optimizers.MomentumSGD(lr=0.01)
    optimizer.setup(model)
    updater = training.updaters.StandardUpdater(train_iter, optimizer)
    trainer = training.Trainer(updater, (1, "epoch"), "result_imagenet")
    trainer.extend(extensions.Evaluator(val_iter, model), trigger=(1, "epoch"))
    trainer.extend(extensions.snapshot_object(model, "model"), trigger=(1, "epoch"))
    trainer.extend(extensions.observe_lr())
    trainer.run()
    train_iter.finalize()
    val_iter.finalize()


if __name__ == "__main__":
    main()
