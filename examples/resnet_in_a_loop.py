"""Fine-tune torchvision's ResNet in a plain Chainer loop, on a folder that has a folder of images for each class.

    python examples/resnet_in_a_loop.py FOLDER --weights imagenet

To try it on little:

    python examples/sample_data.py classes sample_classes
    python examples/resnet_in_a_loop.py sample_classes --size 32 --batch 6 --epochs 2
"""

import argparse

import chainfpn  # first: it makes Chainer importable

# isort: split

import chainer
import chainer.functions as F
import numpy as np
from chainercv.datasets import DirectoryParsingLabelDataset, directory_parsing_label_names

from chainfpn import models, training
from chainfpn.links.classifier import ClassifierPreprocess


def main(arguments=None):
    """Train all but the first stages, and save the network with the names of its classes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--weights", help="imagenet, or a file of a trunk; random without it")
    parser.add_argument("--size", type=int, default=224, help="sides of the input")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--out", default="classifier.npz")
    options = parser.parse_args(arguments)

    names = directory_parsing_label_names(options.folder)
    data = DirectoryParsingLabelDataset(options.folder)
    build = getattr(models, f"resnet{options.depth}")
    model = build(len(names))
    model.preprocess, model.label_names = ClassifierPreprocess(options.size * 8 // 7, options.size), names
    if options.weights is not None:  # of 1000 classes, whose scores nobody wants
        trunk = build(0, options.weights)
        for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
            model[name].copyparams(trunk[name])

    optimizer = chainer.optimizers.MomentumSGD(0.01).setup(model)
    if options.weights is not None:
        for link in (model.conv1, model.bn1, model.layer1):
            training.freeze(link)
    iterator = chainer.iterators.SerialIterator(data, options.batch)
    n_right = n_seen = 0
    while iterator.epoch < options.epochs:
        imgs, labels = zip(*iterator.next(), strict=True)  # float32 (3, H, W), RGB, 0..255
        x, t = np.stack([model.prepare(img) for img in imgs]), np.array(labels, np.int32)
        y = model(model.xp.asarray(x))
        loss = F.softmax_cross_entropy(y, model.xp.asarray(t))
        model.cleargrads()
        loss.backward()
        optimizer.update()
        n_right, n_seen = n_right + int((chainer.cuda.to_cpu(y.array).argmax(1) == t).sum()), n_seen + len(t)
        if iterator.is_new_epoch:
            print(f"epoch {iterator.epoch}  loss {float(loss.array):.3f}  accuracy {n_right / n_seen:.3f}", flush=True)
            n_right = n_seen = 0
    chainfpn.save_weights(options.out, model, meta={"label_names": list(names)})
    (probabilities,) = model.predict([data[0][0]])
    print(names[probabilities.argmax()], f"{probabilities.max():.2f}")


if __name__ == "__main__":
    main()
