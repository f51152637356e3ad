"""Probe a self-supervised ResNet: train one linear layer on its features, and print the accuracy on held-out images.

    python examples/probe.py moco_v2_800ep_pretrain.pth.tar FOLDER

The checkpoint is as its authors published it (MoCo, SimCLR, BYOL, DINO, SwAV, Barlow Twins, ...): the trunk is found in
it and converted on the fly. FOLDER has a folder of images for each class. To try it on little:

    python examples/sample_data.py moco sample_moco.pkl
    python examples/sample_data.py classes sample_images
    python examples/probe.py sample_moco.pkl sample_images --size 32 --steps 30
"""

import argparse

import chainfpn  # noqa: F401  (first: it makes Chainer importable)

# isort: split

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainercv.datasets import DirectoryParsingLabelDataset, directory_parsing_label_names

from chainfpn import models
from chainfpn.links.classifier import ClassifierPreprocess


def features(trunk, data, batch):
    """Return the averaged last maps of all images (N, C), and their labels (N,)."""
    rows, labels = [], []
    for begin in range(0, len(data), batch):
        imgs, chunk = zip(*data[begin : begin + batch], strict=True)
        x = trunk.xp.asarray(np.stack([trunk.prepare(img) for img in imgs]))
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            rows.append(chainer.cuda.to_cpu(F.mean(trunk(x), axis=(2, 3)).array))
        labels += chunk
    return np.concatenate(rows), np.array(labels, np.int32)


def main(arguments=None):
    """Probe, and print the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=224, help="sides of the input")
    parser.add_argument("--held-out", type=float, default=0.25, help="share of the images to test with")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args(arguments)

    trunk = models.load(options.checkpoint)
    trunk.preprocess = ClassifierPreprocess(options.size * 8 // 7, options.size)
    names = directory_parsing_label_names(options.folder)
    x, t = features(trunk, DirectoryParsingLabelDataset(options.folder), options.batch)
    order = np.random.default_rng(0).permutation(len(x))
    test, train = np.split(order, [round(options.held_out * len(x))])
    x = (x - x[train].mean(axis=0)) / (x[train].std(axis=0) + 1e-6)
    probe = L.Linear(x.shape[1], len(names))
    optimizer = chainer.optimizers.Adam(alpha=1e-2, weight_decay_rate=1e-4).setup(probe)
    for _ in range(options.steps):
        loss = F.softmax_cross_entropy(probe(x[train]), t[train])
        probe.cleargrads()
        loss.backward()
        optimizer.update()
    accuracy = (probe(x[test]).array.argmax(axis=1) == t[test]).mean()
    print(f"{trunk.meta['model']}, {x.shape[1]} features: {accuracy:.3f} of {len(test)} images, {len(names)} classes")


if __name__ == "__main__":
    main()
