"""A training from its options: data, model, optimizer, trainer, files."""

import json
import platform
import sys

import chainer
import chainercv
import chainermn
import numpy as np
from chainer import training
from chainer.datasets import TransformDataset
from chainer.training import extensions

import chainfpn
from chainfpn import datasets
from chainfpn.cli.detector import choose_device
from chainfpn.cli.errors import CommandError
from chainfpn.cli.output import complete_file
from chainfpn.cli.processes import communicator, own_device
from chainfpn.cli.train import to_json
from chainfpn.cli.training_model import build_model
from chainfpn.cli.training_report import KEY, Samples, write_report
from chainfpn.cli.training_stop import Stop
from chainfpn.datasets.detection_dataset import select
from chainfpn.links import MaskRCNN
from chainfpn.training import (
    Curves,
    DetectionEvaluator,
    GradientClipping,
    KeepWeights,
    LearningRate,
    RandomState,
    Snapshot,
    cosine_schedule,
    freeze_backbone,
    load_snapshot,
    multi_node_optimizer,
    recompute_statistics,
    save_snapshot,
    step_schedule,
    train_chain,
    warm_up,
)
from weights_convert.meta import parse_pairs

#: Images that statistics of batch normalization are measured on at a time.
_STATISTICS_BATCH = 8


def train(settings):
    """Train.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Returns:
        int: 0, or 1 if it was stopped before the end.

    Raises:
        CommandError: if it cannot be done.
    """
    dtype = chainer.mixed16 if settings.dtype == "mixed16" else np.dtype(settings.dtype)
    with communicator(settings, nccl=settings.device.startswith("cuda")) as comm, chainer.using_config("dtype", dtype):
        try:
            return _train(settings, comm)
        except (chainfpn.WeightsError, datasets.DataError, FloatingPointError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error


def _train(settings, comm):
    first = comm is None or comm.rank == 0
    np.random.seed(settings.seed)
    train_data, validation_data = _open_data(settings)
    settings.out.mkdir(parents=True, exist_ok=True)
    device = choose_device(own_device(settings.device, comm))
    model = build_model(settings, train_data.label_names, say=print if first else None)
    chain = _chain(model, settings)
    chain.to_device(device)

    if isinstance(model, MaskRCNN):
        if "mask" not in train_data.available_keys:
            raise CommandError(f"--model {settings.model}: needs masks, which the data has not")
        train_data.keys = "img", "bbox", "label", "mask"
    sound_data = datasets.SkipBroken(_share(train_data, settings, comm))
    iterator = _iterator(sound_data, settings)
    if settings.recompute_statistics and not settings.resume:
        _recompute_statistics(model, sound_data, settings, comm)
    optimizer = _optimizer(chain, settings, comm)
    if settings.trainable_layers is not None:
        try:
            freeze_backbone(model, settings.trainable_layers)
        except ValueError as error:
            raise CommandError(f"--trainable-layers: {error}") from error
    if comm is not None:
        np.random.seed(settings.seed + comm.rank)
    updater = training.updaters.StandardUpdater(iterator, optimizer, converter=datasets.collate, device=device)
    stop = Stop(settings.epochs, comm)
    trainer = training.Trainer(updater, stop, settings.out)
    n_iterations = len(iterator.dataset) * settings.epochs // settings.batch
    trainer.extend(LearningRate(_schedule(settings, n_iterations)))
    trainer.extend(RandomState())
    if validation_data is not None:
        evaluator = DetectionEvaluator(validation_data, model, comm=comm)
        trainer.extend(evaluator, trigger=(settings.evaluate_every, "epoch"))
    snapshot_path = settings.out / ("snapshot.npz" if first else f"snapshot-{comm.rank}.npz")
    trainer.extend(Snapshot(snapshot_path))
    if first:
        about = _about(settings, train_data, validation_data, comm)
        _extend(trainer, model, settings, about, validation_data)
    if settings.resume:
        _resume(snapshot_path, trainer, settings, comm)
    if first:
        with complete_file(settings.out / "train.json") as file:
            json.dump(about, file, indent=2)
    with stop.at_signal():
        trainer.run(show_loop_exception_msg=False)
        if stop.requested:
            save_snapshot(snapshot_path, trainer)
    if stop.requested and first:
        print(f"stopped; go on with: chainfpn train --resume --out {settings.out}", file=sys.stderr)
    if first:
        if sound_data.n_broken_images or sound_data.n_broken_boxes:
            print(f"left out: {sound_data.n_broken_images} images, {sound_data.n_broken_boxes} boxes")
        print(f"report: {write_report(settings.out)}")
    return 1 if stop.requested else 0


def _open_data(settings):
    """Open what is trained with, and what is validated with (None if there is nothing)."""
    data = datasets.JoinedDataset(*[_open(name, settings) for name in settings.data])
    if settings.validation is not None:
        validation = datasets.open_dataset(
            settings.validation, split=settings.validation_split, label_names=_label_names(settings.validation, data)
        )
    elif settings.held_out is not None:
        chosen = select([data.file_name(i) for i in range(len(data))], names=settings.held_out)
        validation = datasets.ChosenDataset(data, chosen)
        data = datasets.ChosenDataset(data, sorted(set(range(len(data))).difference(chosen)))
    else:
        validation = None
    return data, validation


def _open(name, settings):
    return datasets.open_dataset(
        name, annotations=settings.annotations, split=settings.split, label_names=_label_names(name, settings)
    )


def _label_names(name, chosen_by):
    """Choose the labels of data that has a choice."""
    names = getattr(chosen_by, "label_names", None) or getattr(chosen_by, "names", None)
    return None if name.startswith("shapes") else names


def _chain(model, settings):
    """Wrap the model."""
    try:
        return train_chain(model, **parse_pairs(settings.loss))
    except (TypeError, ValueError) as error:
        raise CommandError(f"--loss: {error}") from error


def _share(data, settings, comm):
    """Return what this process trains with; all have equally much."""
    if comm is None:
        return data
    share = chainermn.scatter_dataset(range(len(data)), comm, shuffle=True, seed=settings.seed)
    return datasets.ChosenDataset(data, [share[i] for i in range(len(share))])


def _iterator(data, settings):
    """Shuffle, transform and batch."""
    groups = datasets.orientation_groups(data)
    if not settings.no_augment:
        crop = datasets.RandomCrop(probability=settings.crop)
        data = TransformDataset(data, datasets.Compose(crop, datasets.RandomFlip(), datasets.RandomPhotometric()))
    if len(data) < settings.batch:
        raise CommandError(f"--batch must be at most the number of images, {len(data)}, got {settings.batch}")
    return datasets.GroupedIterator(data, settings.batch, groups)


def _recompute_statistics(model, data, settings, comm):
    """Measure the trunk's batch normalization on images as they are trained with."""
    iterator = datasets.GroupedIterator(data, min(_STATISTICS_BATCH, len(data)), datasets.orientation_groups(data))
    n_batches = -(-settings.recompute_statistics // iterator.batch_size)
    batches = (model.prepare([img for img, *_ in next(iterator)])[0] for _ in range(n_batches))
    recompute_statistics(model.backbone.body, batches)
    if comm is not None:
        chainermn.extensions.AllreducePersistent(model, comm)()


def _optimizer(chain, settings, comm):
    """Set up stochastic gradient descent with everything that belongs to it."""
    optimizer = chainer.optimizers.MomentumSGD(lr=settings.lr)
    if settings.dtype == "mixed16":
        optimizer.use_fp32_update()
        optimizer.loss_scaling()
    if comm is None:
        optimizer.setup(chain)
    else:
        optimizer = multi_node_optimizer(optimizer, chain, comm)
    optimizer.add_hook(GradientClipping(settings.clip))
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(settings.weight_decay))
    return optimizer


def _schedule(settings, n_iterations):
    """Choose the learning rate of each step."""
    if settings.schedule == "cosine":
        schedule = cosine_schedule(settings.lr, n_iterations, final=0.02)
    elif settings.schedule == "step":
        schedule = step_schedule(settings.lr, [n_iterations * 2 // 3, n_iterations * 8 // 9])
    else:
        schedule = step_schedule(settings.lr, [])
    return warm_up(schedule, settings.warm_up)


def _extend(trainer, model, settings, about, validation_data):
    """Add what is shown and written by one process only."""
    trainer.extend(extensions.LogReport())
    trainer.extend(_print_epoch, trigger=(1, "epoch"), priority=-10)
    if sys.stderr.isatty():
        trainer.extend(extensions.ProgressBar(update_interval=10))
    trainer.extend(KeepWeights(model, settings.out, key=KEY, meta={"settings": about["settings"]}))
    try:
        trainer.extend(Curves(settings.out))
    except ImportError:
        print("no curves will be drawn: matplotlib is missing; pip install matplotlib", file=sys.stderr)
    data = validation_data
    if data is not None and settings.samples:
        trainer.extend(Samples(model, data, settings.out, n=settings.samples))


def _print_epoch(trainer):
    """Print a line about the epoch that has ended."""
    entry = trainer.get_extension("LogReport").log[-1]
    ap = f"  AP50 {entry[KEY]:.4f}" if KEY in entry else ""
    print(
        f"epoch {entry['epoch']}  step {entry['iteration']}  loss {entry['main/loss']:.4f}{ap}"
        f"  {entry['elapsed_time']:.0f} s",
        flush=True,
    )


def _resume(path, trainer, settings, comm):
    """Go on where the training was stopped, which must be the same place in all processes."""
    n_processes = 1 if comm is None else comm.size
    before = settings.before.get("processes", n_processes)
    if before != n_processes:
        raise CommandError(
            f"--resume: the training had {before} processes and must have as many now, not {n_processes}"
        )
    load_snapshot(path, trainer)
    if comm is not None:
        iterations = sorted(set(comm.mpi_comm.allgather(trainer.updater.iteration)))
        if len(iterations) > 1:
            steps = " and ".join(map(str, iterations))
            raise CommandError(f"--resume: the snapshots of all processes must be of one step, got steps {steps}")


def _about(settings, train_data, validation_data, comm):
    """Say what is being done, and with what."""
    return {
        "settings": to_json(settings),
        "processes": 1 if comm is None else comm.size,
        "label_names": train_data.label_names,
        "images": {"training": len(train_data), "validation": 0 if validation_data is None else len(validation_data)},
        "versions": {
            "chainfpn": chainfpn.__version__,
            "chainer": chainer.__version__,
            "chainercv": chainercv.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
