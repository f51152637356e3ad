"""Fine-tune a detector on your own folder in VOC's form: JPEGImages, Annotations, perhaps ImageSets/Main.

    python examples/finetune_voc.py FOLDER --epochs 20
    python examples/finetune_voc.py FOLDER --split train --validation val --weights fasterrcnn_resnet50_fpn

It starts from the bundled detector of persons, or from any other of two stages. All but the last layer is kept, for the
labels are those of the folder. To try it on little:

    python examples/sample_data.py voc sample_voc
    python examples/finetune_voc.py sample_voc --split train --validation val --size 64 --epochs 1
"""

import argparse
import pathlib

import chainfpn  # first: it makes Chainer importable

# isort: split

import chainer
from chainer.training import StandardUpdater, Trainer, extensions

from chainfpn import data, datasets, models, training


def build(weights, label_names, size):
    """Return a detector for other labels that has the backbone, the proposals and the box head of another.

    Args:
        weights (str or path): A file, or a builder's name for its published weights.
        label_names (sequence of str): What it shall find.
        size (int or None): Length of the shorter side, where it is not to be the other's.
    """
    known = models.get_model(weights, pretrained_model="coco") if weights in models.MODELS else models.load(weights)
    options = {**known.meta["arguments"], "n_fg_class": len(label_names), "label_names": tuple(label_names)}
    if size is not None:
        options |= {"min_size": size, "max_size": 2 * size}
    model = models.get_model(known.meta["model"], **options)
    model.backbone.copyparams(known.backbone)
    model.rpn.copyparams(known.rpn)
    model.roi_heads.box_head.copyparams(known.roi_heads.box_head)
    return model


def main(arguments=None):
    """Train; the folder ``--out`` gets the weights, for ``chainfpn detect --weights``, and the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--split", help="a list of ImageSets/Main; all images without it")
    parser.add_argument("--validation", help="another list, to report the average precision of")
    parser.add_argument("--weights", default=data.weights_path(), help="a file, or a name of chainfpn models")
    parser.add_argument("--size", type=int, help="length of the shorter side")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("finetuned"))
    options = parser.parse_args(arguments)

    train = datasets.open_dataset(options.folder, split=options.split)
    model = build(options.weights, train.label_names, options.size)
    chain = training.TrainChain(model)
    optimizer = chainer.optimizers.MomentumSGD(options.lr).setup(chain)
    training.freeze_backbone(model, 3)
    flipped = chainer.datasets.TransformDataset(train, datasets.RandomFlip())
    iterator = chainer.iterators.SerialIterator(flipped, options.batch)
    updater = StandardUpdater(iterator, optimizer, converter=datasets.collate)
    trainer = Trainer(updater, (options.epochs, "epoch"), options.out)
    figures = ["epoch", "main/loss"]
    if options.validation is not None:
        held_out = datasets.open_dataset(options.folder, split=options.validation, label_names=train.label_names)
        trainer.extend(training.DetectionEvaluator(held_out, model), trigger=(1, "epoch"))
        figures.append("validation/main/map")
    trainer.extend(extensions.LogReport(trigger=(1, "epoch")))
    trainer.extend(extensions.PrintReport(figures))
    trainer.run()
    chainfpn.save_weights(options.out / "finetuned.npz", model)
    print(f"chainfpn detect IMAGE --weights {options.out / 'finetuned.npz'}")


if __name__ == "__main__":
    main()
