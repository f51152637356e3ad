"""The data of a training: to train with, to validate with, and what of them is left out."""

import argparse
import functools
import importlib.util
import math
import operator
import pathlib
from collections import Counter

import chainermn
import numpy as np
from chainer.datasets import TransformDataset

from chainfpn import datasets
from chainfpn._typing import Communicator
from chainfpn.cli.console import WarnOnce, reasons
from chainfpn.cli.errors import CommandError
from chainfpn.cli.training_optimizer import batch_size
from chainfpn.datasets import DetectionDataset
from chainfpn.datasets._files import select
from chainfpn.errors import InvalidArgument
from chainfpn.links import Detector
from weights_convert import few


def open_data(settings: argparse.Namespace) -> tuple[DetectionDataset, DetectionDataset | None]:
    """Open the data to train with, and those to validate with.

    The latter have crowds and difficult annotations, which the evaluation ignores, as in ``chainfpn evaluate``.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Returns:
        tuple: DetectionDataset to train with, and DetectionDataset or None to validate with.

    Raises:
        CommandError: if data do not go together.
        DataError: if there is nothing of the kind.
    """
    data = _joined(settings, use_ignored=False)
    if settings.overfit is not None:
        few_images = datasets.Subset(data, range(min(settings.overfit, len(data))))
        return few_images, few_images
    if settings.validation is not None:
        options = {"annotations": settings.validation_annotations, "split": settings.validation_split}
        return data, datasets.open_dataset(settings.validation, **options, use_ignored=True)
    if settings.held_out is None:
        return data, None
    chosen = _held_out([data.file_name(i) for i in range(len(data))], settings)
    rest = sorted(set(range(len(data))).difference(chosen))
    return datasets.Subset(data, rest), datasets.Subset(_joined(settings, use_ignored=True), chosen)


def _held_out(files: list[str], settings: argparse.Namespace) -> list[int]:
    """Return the indices of the images of a list, or of a share of all, drawn by the seed."""
    try:
        share = float(settings.held_out)
    except ValueError:
        return select(files, names=settings.held_out)
    n = round(share * len(files)) if math.isfinite(share) else 0
    if not 0 < n < len(files):
        raise CommandError(
            f"--held-out must be a file, or a share that leaves images on both sides, got {settings.held_out}"
            f" of {len(files)}"
        )
    return sorted(np.random.RandomState(settings.seed).permutation(len(files))[:n].tolist())


def file_names(data: DetectionDataset, others: DetectionDataset) -> list[str]:
    """Return the names of the images of data, with their folders where these or others have a name twice."""
    files, rest = ([pathlib.PurePath(part.file_name(i)) for i in range(len(part))] for part in (data, others))
    names = {path.name for path in (*files, *rest)}
    return [path.name if len(names) == len(files) + len(rest) else str(path) for path in files]


def use_extra_targets(data: DetectionDataset, model: Detector) -> None:
    """Let examples have the masks or keypoints that a detector is trained with.

    Args:
        data (DetectionDataset): The data to train with.
        model (chainfpn.links.Detector): The detector.

    Raises:
        CommandError: if there are none, or masks cannot be drawn.
    """
    option = f"--model {model.meta['model']}"
    if "masks" in model.extra_targets:
        _check_masks(data, option, "the data")
        data.keys = "img", "bbox", "label", "mask"
    if "points" in model.extra_targets:
        if "point" not in data.available_keys:
            raise CommandError(f"{option}: needs keypoints, the same in all categories, which the data has not")
        data.keys = "img", "bbox", "label", "point", "visible"


def share(data: DetectionDataset, settings: argparse.Namespace, comm: Communicator) -> DetectionDataset:
    """Return the share of a process of the data of all; all shares are equally large."""
    if comm is None:
        return data
    chosen = chainermn.scatter_dataset(range(len(data)), comm, shuffle=True, seed=settings.seed)
    return datasets.Subset(data, [chosen[i] for i in range(len(chosen))])


def make_iterator(data: datasets.ValidatedDataset, settings: argparse.Namespace) -> datasets.AspectRatioGroupedIterator:
    """Shuffle, transform and batch.

    Args:
        data (ValidatedDataset): The data to train with.
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Returns:
        AspectRatioGroupedIterator: The batches.

    Raises:
        CommandError: if there are not enough images for one, or nothing to paste.
    """
    n_images = batch_size(settings)
    if len(data) < n_images:
        option = "--batch" if settings.accumulate == 1 else "--batch times --accumulate"
        raise CommandError(f"{option} must be at most the number of images, {len(data)}, got {n_images}")
    groups, valid_data = datasets.orientation_groups(data), data
    if not settings.no_augment and settings.overfit is None:
        transforms: list = [
            datasets.RandomCrop(probability=settings.crop),
            _flip(valid_data),
            datasets.RandomPhotometric(*settings.photometric),
        ]
        if settings.jitter:
            transforms.insert(0, datasets.LargeScaleJitter(probability=settings.jitter))
        if settings.paste:
            if "point" in data.keys:
                raise CommandError("--paste: must not be given with a model of keypoints")
            paste = datasets.RandomPaste(_sources(settings), data.label_names, probability=settings.paste)
            transforms.insert(0, paste)
        data = TransformDataset(data, datasets.Compose(*transforms))
    repeats = None if settings.repeat is None else datasets.repeat_factors(valid_data, settings.repeat)
    if settings.workers:
        options = {"n_workers": settings.workers, "watched": valid_data, "repeats": repeats}
        return datasets.PrefetchIterator(data, n_images, groups, **options)
    return datasets.AspectRatioGroupedIterator(data, n_images, groups, repeats=repeats)


def _flip(data: datasets.ValidatedDataset) -> datasets.RandomFlip:
    """Return the transform that mirrors images, and knows left and right of keypoints."""
    if "point" not in data.keys:
        return datasets.RandomFlip()
    try:
        return datasets.RandomFlip(mirrored=datasets.mirrored_keypoints(data.dataset.keypoint_names))
    except InvalidArgument as error:
        raise CommandError(f"--data: names of keypoints must {error.rule}, or images cannot be mirrored") from error


def left_out(data: datasets.ValidatedDataset, validation: WarnOnce, comm: Communicator) -> str:
    """Return how much was left out, by reason.

    Args:
        data (ValidatedDataset): The data that this process trained with.
        validation (WarnOnce): Its warnings of the data to validate with.
        comm (chainermn.CommunicatorBase or None): The processes, all of which must call this.

    Returns:
        str: A sentence about all processes together, empty if nothing was left out.
    """
    of_readers, warnings = data.dataset.left_out.counts, validation.warnings
    found = data.left_out.counts - of_readers
    if comm is not None:
        found = sum(comm.mpi_comm.allgather(found), Counter())
        of_readers = functools.reduce(operator.or_, comm.mpi_comm.allgather(of_readers))  # of all data in each
        warnings = set().union(*comm.mpi_comm.allgather(warnings))
    to_validate_with = Counter(getattr(message, "reason", message) for message in warnings)
    return reasons({"left out": found + of_readers, "left out to validate with": to_validate_with})


def _open(settings, names, *, use_ignored=False):
    """Open everything that ``--data`` names, one by one, with the labels of these names."""
    options = {"annotations": settings.annotations, "split": settings.split, "use_ignored": use_ignored}
    return [
        datasets.open_dataset(name, label_names=None if name.startswith("shapes") else names, **options)
        for name in settings.data
    ]


def _sources(settings: argparse.Namespace) -> list[DetectionDataset]:
    """Open what may be pasted: the annotations of whatever label in the images to train with."""
    sources = _open(settings, None)
    for name, source in zip(settings.data, sources, strict=True):
        _check_masks(source, "--paste", name)
    if settings.held_out is None:
        return sources
    files = [source.file_name(i) for source in sources for i in range(len(source))]
    held_out = {files[i] for i in _held_out(files, settings)}
    chosen = [[i for i in range(len(source)) if source.file_name(i) not in held_out] for source in sources]
    return [datasets.Subset(*pair) for pair in zip(sources, chosen, strict=True) if pair[1]]


def _check_masks(data: DetectionDataset, option: str, owner: str) -> None:
    """Check that there are masks for an option, and that they can be drawn."""
    if "mask" not in data.available_keys:
        raise CommandError(f"{option}: needs masks, which {owner} has not")
    if importlib.util.find_spec("pycocotools") is None and _has_coco(data):
        raise CommandError(f"{option}: COCO's masks need pycocotools; pip install 'chainfpn[coco]'")


def _joined(settings: argparse.Namespace, *, use_ignored: bool) -> DetectionDataset:
    """Open everything that ``--data`` names as one."""
    parts = _open(settings, settings.names, use_ignored=use_ignored)
    for name, part in zip(settings.data, parts, strict=True):
        if part.label_names != parts[0].label_names:
            sides = f"{few(parts[0].label_names)} in {settings.data[0]} and {few(part.label_names)} in {name}"
            raise CommandError(f"--data: all must have the same labels, which --names can choose, got {sides}")
    if settings.names is not None and tuple(settings.names) != parts[0].label_names:
        labels = few(parts[0].label_names)
        raise CommandError(f"--names cannot choose from {settings.data[0]}, whose labels are {labels}")
    return datasets.ConcatDataset(*parts)


def _has_coco(data: DetectionDataset) -> bool:
    """Return whether a data set is COCO's, or made of others one of which is."""
    if isinstance(data, datasets.ConcatDataset):
        return any(map(_has_coco, data.datasets))
    return _has_coco(data.dataset) if isinstance(data, datasets.Subset) else isinstance(data, datasets.COCODataset)
