"""What a training evaluates, prints and writes while it runs."""

import argparse
import sys

import chainer
from chainer.training import extensions

from chainfpn import training
from chainfpn._typing import Communicator, Report
from chainfpn.cli.errors import CommandError
from chainfpn.cli.options import interval
from chainfpn.cli.training_optimizer import batch_size, make_schedule
from chainfpn.cli.training_report import KEY, KEYPOINT_KEY, MASK_KEY, Samples
from chainfpn.cli.training_resume import to_json
from chainfpn.datasets import DetectionDataset
from chainfpn.errors import InvalidArgument
from chainfpn.links import Detector


def extend_all(
    trainer: chainer.training.Trainer,
    model: Detector,
    averages: training.AveragedWeights | None,
    settings: argparse.Namespace,
    comm: Communicator,
    validation: tuple[DetectionDataset | None, Report],
) -> None:
    """Add what all processes do.

    Args:
        trainer (chainer.training.Trainer): The trainer.
        model (chainfpn.links.Detector): The detector.
        averages (AveragedWeights or None): Whose copy of the detector is evaluated in its place.
        settings (argparse.Namespace): The options of ``chainfpn train``.
        comm (chainermn.CommunicatorBase or None): The processes.
        validation (tuple): The data to validate with, or None, and what takes warnings about them.

    Raises:
        CommandError: if detector and data have no label in common.
    """
    optimizer, iterator = trainer.updater.get_optimizer("main"), trainer.updater.get_iterator("main")
    schedule = make_schedule(settings, len(iterator.dataset), comm)
    for extension in (training.LearningRate(schedule), training.RandomState(), training.MixedPrecisionState(optimizer)):
        trainer.extend(extension)
    n, unit = interval(settings.evaluate_every)
    every = _every_epoch(n, unit)
    if comm is not None:
        trainer.extend(training.AverageLosses(comm))
        trainer.extend(training.AverageStatistics(model, comm), trigger=every)
    if averages is not None:
        trainer.extend(averages)
    if validation[0] is not None:
        shown = model if averages is None else averages.averaged
        trainer.extend(_evaluator(*validation, shown, comm), trigger=every if unit == "steps" else (n, "epoch"))


def extend_first(
    trainer: chainer.training.Trainer,
    model: Detector,
    settings: argparse.Namespace,
    comm: Communicator,
    samples: tuple[DetectionDataset, Report],
    key: str,
) -> None:
    """Add what is printed and written by one process only.

    Args:
        trainer (chainer.training.Trainer): The trainer.
        model (chainfpn.links.Detector): The detector that is written.
        settings (argparse.Namespace): The options of ``chainfpn train``.
        comm (chainermn.CommunicatorBase or None): The processes.
        samples (tuple): The data whose first images are drawn, and what takes warnings about them.
        key (str): Name of the figure that decides which weights are the best.
    """
    every = _every_epoch(*interval(settings.evaluate_every))
    trainer.extend(extensions.LogReport(trigger=every))
    trainer.extend(_print_epoch, trigger=every, priority=-10)
    trainer.extend(_step_log(trainer, settings, comm))
    if sys.stderr.isatty():
        trainer.extend(extensions.ProgressBar(update_interval=10))
    best = training.BestWeights(model, settings.out, key=key, meta={"settings": to_json(settings)})
    trainer.extend(best, trigger=every)
    try:
        trainer.extend(training.PlotMetrics(settings.out), trigger=every)
        if "validation" in trainer._extensions:
            evaluator = trainer.get_extension("validation")
            trainer.extend(training.PlotPrecisionRecall(evaluator, settings.out), trigger=every)
    except ImportError:
        print("no curves will be drawn: Matplotlib is missing; pip install 'chainfpn[plot]'", file=sys.stderr)
    if settings.samples:
        data, report = samples
        trainer.extend(Samples(model, data, settings.out, n=settings.samples, report=report), trigger=every)
    if settings.validation is None and settings.held_out is None and settings.overfit is None:
        print(
            "no data to validate with (--validation, --held-out): no AP and no best.npz will be written, and the"
            " samples are of images trained with",
            file=sys.stderr,
        )


def _every_epoch(n, unit):
    """Return what triggers at the end of every epoch, and every n steps if that is the unit."""
    return lambda trainer: trainer.updater.is_new_epoch or (unit == "steps" and trainer.updater.iteration % n == 0)


def _step_log(trainer, settings, comm):
    n_images, size = len(trainer.updater.get_iterator("main").dataset), batch_size(settings)
    return training.StepLog(
        settings.out / "steps.jsonl",
        every=settings.log_every,
        n_images=size * (1 if comm is None else comm.size),
        n_steps=-(-n_images * settings.epochs // size),
        log=lambda line: print(line, flush=True),
    )


def _evaluator(data, report, model, comm):
    try:
        return training.DetectionEvaluator(data, model, report=report, comm=comm)
    except InvalidArgument as error:
        raise CommandError(f"--validation: {error.problem}") from error


def _print_epoch(trainer: chainer.training.Trainer) -> None:
    """Print a line about the epoch that has ended."""
    entry = trainer.get_extension("LogReport").log[-1]
    names = {KEY: "AP50", MASK_KEY: "mask AP", KEYPOINT_KEY: "keypoint AP"}
    ap = "".join(f"  {name} {entry[key]:.4f}" for key, name in names.items() if key in entry)
    print(
        f"epoch {entry['epoch']}  step {entry['iteration']}  loss {entry['main/loss']:.4f}{ap}"
        f"  {entry['elapsed_time']:.0f} s",
        flush=True,
    )
