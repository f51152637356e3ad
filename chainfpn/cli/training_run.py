"""A training from its options: data, model, optimizer, trainer, files."""

import argparse
import contextlib
import functools
import json
import math
import pathlib
import platform
import sys
import time

import chainer
import chainercv
import numpy as np

import chainfpn
from chainfpn import datasets, training
from chainfpn._typing import Communicator
from chainfpn.cli.console import WarnOnce, compile_remark, remark
from chainfpn.cli.detector import choose_device, shortened
from chainfpn.cli.errors import CommandError
from chainfpn.cli.options import interval
from chainfpn.cli.output import complete_file
from chainfpn.cli.processes import communicator
from chainfpn.cli.training_classes import check_classes, check_same, class_table, count_classes
from chainfpn.cli.training_data import file_names, left_out, make_iterator, open_data, share, use_extra_targets
from chainfpn.cli.training_folder import own_folder
from chainfpn.cli.training_model import build_chain, build_model
from chainfpn.cli.training_optimizer import make_optimizer
from chainfpn.cli.training_report import best_key, write_report
from chainfpn.cli.training_resume import Stop, resume, to_json
from chainfpn.cli.training_shown import extend_all, extend_first
from chainfpn.datasets._left_out import LeftOut
from weights_convert import CheckpointError

#: Images that statistics of batch normalization are computed on at a time.
_STATISTICS_BATCH = 8


def train(settings: argparse.Namespace) -> int:
    """Train as ``chainfpn train`` says: 0, or 1 if it was stopped before the end."""
    dtype = chainer.mixed16 if settings.dtype == "mixed16" else np.dtype(settings.dtype)
    on_gpu = settings.device.startswith("cuda")
    compiling = contextlib.nullcontext() if on_gpu or settings.quiet else compile_remark(remark)
    with communicator(settings, nccl=on_gpu) as comm, chainer.using_config("dtype", dtype):
        try:
            with compiling:
                return _train(settings, comm)
        except (chainfpn.WeightsError, CheckpointError) as error:
            raise CommandError(shortened(error)) from error
        except (datasets.DataError, FloatingPointError) as error:
            raise CommandError(str(error)) from error
        except MemoryError as error:
            raise CommandError("the memory does not suffice; a smaller --batch or smaller images need less") from error
        except OSError as error:
            raise CommandError(f"{error.filename or settings.out}: {error.strerror or error}") from error


def _train(settings: argparse.Namespace, comm: Communicator) -> int:
    first = comm is None or comm.rank == 0
    np.random.seed(settings.seed)
    data = open_data(settings)
    if not first or settings.dry_run:
        return _train_in_folder(settings, comm, *data)
    with own_folder(settings.out, empty=settings.resume_state is None):
        if settings.resume and settings.resume_state is None:
            print(f"{settings.out}: has no snapshot yet; the training begins at step 0")
        return _train_in_folder(settings, comm, *data)


def _train_in_folder(settings, comm, train_data, validation_data):
    first = comm is None or comm.rank == 0
    device = choose_device(settings.device, comm)
    log = functools.partial(print, flush=True) if first else (lambda message: None)
    model = build_model(settings, train_data, log=log, comm=comm)
    chain = build_chain(model, settings.loss)
    chain.to_device(device)
    use_extra_targets(train_data, model)
    warn, warn_validation = WarnOnce(), WarnOnce()
    counts = _count(settings, (train_data, warn), (validation_data, warn_validation)) if first else {}
    valid_data = datasets.ValidatedDataset(share(train_data, settings, comm), report=warn)
    iterator = make_iterator(valid_data, settings)
    if settings.recompute_statistics and settings.resume_state is None:
        _recompute_statistics(model, valid_data, settings, comm)
    averages = None if settings.ema is None else training.AveragedWeights(model, settings.ema)
    optimizer = make_optimizer(chain, settings, comm)
    if settings.dry_run:
        return _print_losses(chain, iterator) if first else 0
    if comm is not None:
        np.random.seed(settings.seed + comm.rank)
    updater = training.AccumulatingUpdater(iterator, optimizer, n_parts=settings.accumulate, device=device)
    key = best_key(model, validation_data)
    early = None if settings.patience is None else training.EarlyStopping(key, settings.patience)
    stop = Stop(settings.epochs, comm, minutes=settings.time_limit, early=early)
    trainer = chainer.training.Trainer(updater, stop, settings.out)
    extend_all(trainer, model, averages, settings, comm, (validation_data, warn_validation))
    if early is not None:
        trainer.extend(early)
    snapshot = _add_snapshot(trainer, settings, comm)
    if first:
        shown = model if averages is None else averages.averaged
        sampled = (train_data, warn) if validation_data is None else (validation_data, warn_validation)
        extend_first(trainer, shown, settings, comm, sampled, key)
    if settings.resume_state is not None:
        resume(snapshot, trainer, settings)
    if first:
        if updater.epoch == settings.epochs:
            print(f"{settings.out}: epoch {settings.epochs} was the last; --epochs N goes on")
        _write_about(settings, model, (train_data, validation_data), counts, comm)
    with stop.at_signal(), _loss_errors(updater, iterator, valid_data):
        trainer.run(show_loop_exception_msg=False)
        if stop.requested and updater.iteration:  # before the first step the optimizer has nothing to save
            snapshot(trainer)
    sentence = left_out(valid_data, warn_validation, comm)
    if first:
        if stop.ended_early:
            print(f"no better AP in {settings.patience} evaluations: ended")
        _print_end(settings.out, stop.requested, sentence)
    return 1 if stop.requested else 0


@contextlib.contextmanager
def _loss_errors(updater, iterator, data):
    """Raise a CommandError that names step and images where a loss is not finite."""
    try:
        yield
    except FloatingPointError as error:
        files = dict.fromkeys(data.file_name(data.sound_index(int(i))) for i in iterator.indices)
        where = f"step {updater.iteration + 1} of {', '.join(files)}"
        again = "go on before that step with --resume --lr LR"
        raise CommandError(f"{where}: {error}; {again}") from error


def _count(settings, train, validation):
    """Count what there is of each class, check it, and print it at the start of a training."""
    of_training = count_classes(train[0], train[0].left_out, train[1])
    check_classes(of_training, settings)
    counts = {"training": of_training, "validation": None}
    if validation[0] is not None:
        of_readers = LeftOut() if settings.held_out else validation[0].left_out  # which is that of --data
        counts["validation"] = count_classes(validation[0], of_readers, validation[1])
    saved = None if settings.resume_state is None else settings.resume_state.get("data")
    if saved is None:
        print(class_table(counts), flush=True)
    elif "sha256" in saved["training"]:
        check_same(counts, saved)
    return counts


def _add_snapshot(trainer, settings, comm):
    n, unit = interval(settings.snapshot_every)
    snapshot = training.Snapshot(settings.out / "snapshot.npz", comm=comm, keep=settings.keep)
    seconds, n_steps = (math.inf, n) if unit == "steps" else (60 * n, None)
    trainer.extend(snapshot, trigger=training.SnapshotTrigger(seconds, n_steps=n_steps, comm=comm))
    return snapshot


def _print_losses(chain, iterator):
    """Compute the loss of a batch, as a training would begin with it, print its parts, and how long the next takes."""
    observation: dict = {}
    reporter = chainer.Reporter()
    reporter.add_observer("main", chain)
    with reporter.scope(observation):
        chain(*datasets.collate(next(iterator))).backward()
    print("  ".join(f"{name.removeprefix('main/')} {float(value.array):.4f}" for name, value in observation.items()))
    begin = time.perf_counter()  # of the second: operators are compiled in the first
    chain(*datasets.collate(next(iterator))).backward()
    print(f"a step of {iterator.batch_size} images takes {time.perf_counter() - begin:.2f} s; nothing was written")
    return 0


def _print_end(out: pathlib.Path, stopped: bool, sentence: str) -> None:
    """Write the report, and print where it is and what was left out."""
    if stopped:
        print(f"stopped; go on with: chainfpn train --resume --out {out}", file=sys.stderr)
    if sentence:
        print(sentence)
    print(f"report: {write_report(out)}")


def _recompute_statistics(model, data, settings, comm):
    """Compute the statistics of the trunk's batch normalization on images as they are trained with."""
    body = getattr(model.backbone, "body", None)
    batch_size, groups = min(_STATISTICS_BATCH, len(data)), datasets.orientation_groups(data)
    iterator = datasets.AspectRatioGroupedIterator(data, batch_size, groups)
    n_batches = -(-settings.recompute_statistics // iterator.batch_size)
    batches = (model.prepare([img for img, *_ in next(iterator)])[0] for _ in range(n_batches))
    if body is None or not training.recompute_statistics(body, batches):
        raise CommandError(f"--recompute-statistics: {model.meta['model']} has no batch normalization in its trunk")
    if comm is not None:
        training.average_statistics(model, comm)


def _write_about(settings, model, data, counts, comm):
    """Write ``train.json``, and perhaps ``held_out.txt``."""
    if settings.held_out is not None:
        with complete_file(settings.out / "held_out.txt") as file:
            file.writelines(f"{name}\n" for name in file_names(data[1], data[0]))
    with complete_file(settings.out / "train.json") as file:
        json.dump(_about(settings, model, data[0], counts, comm), file, indent=2)


def _about(settings, model, train_data, counts, comm):
    """Return the content of ``train.json``."""
    packages = {"chainfpn": chainfpn, "chainer": chainer, "chainercv": chainercv, "numpy": np}
    versions = {name: package.__version__ for name, package in packages.items()}
    return {
        "settings": to_json(settings),
        "model": model.meta,
        "processes": 1 if comm is None else comm.size,
        "label_names": train_data.label_names,
        "images": {side: 0 if found is None else found["images"] for side, found in counts.items()},
        "data": counts,
        "versions": {**versions, "python": platform.python_version()},
    }
