"""What a training reads: the data it learns from, those it is validated with, and what of them is left out."""

import importlib.util
import sys

import chainermn
from chainer.datasets import TransformDataset

from chainfpn import datasets
from chainfpn.cli.errors import CommandError
from chainfpn.datasets._files import select
from weights_convert import few


class SayOnce:
    """Print each sentence on stderr the first time it comes.

    Attributes:
        said (set of str): The sentences.
    """

    def __init__(self):
        self.said = set()

    def __call__(self, message):
        """Print a sentence, unless it is known.

        Args:
            message (str): The sentence.
        """
        if message not in self.said:
            self.said.add(message)
            print(message, file=sys.stderr)


def open_data(settings):
    """Open what is trained with, and what is validated with.

    The latter has crowds and difficult objects, which the evaluation knows not to count, as in ``chainfpn evaluate``.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Returns:
        tuple: The one, DetectionDataset, and the other, DetectionDataset or None.

    Raises:
        CommandError: if data do not go together.
        DataError: if there is nothing of the kind.
    """
    data = _joined(settings, use_ignored=False)
    if settings.validation is not None:
        validation = datasets.open_dataset(
            settings.validation,
            annotations=settings.validation_annotations,
            split=settings.validation_split,
            use_ignored=True,
        )
    elif settings.held_out is not None:
        chosen = select([data.file_name(i) for i in range(len(data))], names=settings.held_out)
        validation = datasets.Subset(_joined(settings, use_ignored=True), chosen)
        data = datasets.Subset(data, sorted(set(range(len(data))).difference(chosen)))
    else:
        validation = None
    return data, validation


def use_masks(data, model):
    """Have examples come with masks.

    Args:
        data (DetectionDataset): What is trained with.
        model (str): Name of the model that needs them.

    Raises:
        CommandError: if there are none, or they cannot be drawn.
    """
    _check_masks(data, f"--model {model}", "the data")
    data.keys = "img", "bbox", "label", "mask"


def share(data, settings, comm):
    """Tell what one process trains with.

    Args:
        data (DetectionDataset): What all train with.
        settings (argparse.Namespace): The options of ``chainfpn train``.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        DetectionDataset: Its share; all are equally large.
    """
    if comm is None:
        return data
    chosen = chainermn.scatter_dataset(range(len(data)), comm, shuffle=True, seed=settings.seed)
    return datasets.Subset(data, [chosen[i] for i in range(len(chosen))])


def make_iterator(data, settings):
    """Shuffle, transform and batch.

    Args:
        data (ValidatedDataset): What is trained with.
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Returns:
        AspectRatioGroupedIterator: The batches.

    Raises:
        CommandError: if there are not enough images for one, or nothing to paste.
    """
    if len(data) < settings.batch:
        raise CommandError(f"--batch must be at most the number of images, {len(data)}, got {settings.batch}")
    groups = datasets.orientation_groups(data)
    if not settings.no_augment:
        transforms = [
            datasets.RandomCrop(probability=settings.crop),
            datasets.RandomFlip(),
            datasets.RandomPhotometric(*settings.photometric),
        ]
        if settings.paste:
            paste = datasets.RandomPaste(_sources(settings), data.label_names, probability=settings.paste)
            transforms.insert(0, paste)
        data = TransformDataset(data, datasets.Compose(*transforms))
    return datasets.AspectRatioGroupedIterator(data, settings.batch, groups)


def left_out(data, validation, comm):
    """Say how much was left out.

    Args:
        data (ValidatedDataset): What this process trained with.
        validation (SayOnce): What it said of the data to validate with.
        comm (chainermn.CommunicatorBase or None): The processes, which all must ask.

    Returns:
        str: A sentence about all processes together, empty if nothing was left out.
    """
    n_images, n_boxes, said = data.n_broken_images, data.n_broken_boxes, validation.said
    if comm is not None:
        n_images, n_boxes = comm.allreduce_obj(n_images), comm.allreduce_obj(n_boxes)
        said = set().union(*comm.mpi_comm.allgather(said))
    parts = [f"{n_images} images, {n_boxes} boxes"] if n_images or n_boxes else []
    parts += [f"{len(said)} images or boxes to validate with"] if said else []
    return "left out: " + "; ".join(parts) if parts else ""


def _open(settings, names, *, use_ignored=False):
    """Open everything that ``--data`` names, one by one, with the labels of these names."""
    return [
        datasets.open_dataset(
            name,
            annotations=settings.annotations,
            split=settings.split,
            label_names=None if name.startswith("shapes") else names,
            use_ignored=use_ignored,
        )
        for name in settings.data
    ]


def _sources(settings):
    """Open what may be pasted: the objects of whatever label in the images that are trained with."""
    sources = _open(settings, None)
    for name, source in zip(settings.data, sources, strict=True):
        _check_masks(source, "--paste", name)
    if settings.held_out is None:
        return sources
    files = [source.file_name(i) for source in sources for i in range(len(source))]
    held_out = {files[i] for i in select(files, names=settings.held_out)}
    chosen = [[i for i in range(len(source)) if source.file_name(i) not in held_out] for source in sources]
    return [datasets.Subset(*pair) for pair in zip(sources, chosen, strict=True) if pair[1]]


def _check_masks(data, option, owner):
    """Check that there are masks for an option, and that they can be drawn."""
    if "mask" not in data.available_keys:
        raise CommandError(f"{option}: needs masks, which {owner} has not")
    if importlib.util.find_spec("pycocotools") is None and any(map(_is_coco, _parts(data))):
        raise CommandError(f"{option}: COCO's masks need pycocotools; pip install pycocotools")


def _joined(settings, *, use_ignored):
    """Open everything that ``--data`` names as one."""
    parts = _open(settings, settings.names, use_ignored=use_ignored)
    for name, part in zip(settings.data, parts, strict=True):
        if part.label_names != parts[0].label_names:
            sides = f"{few(parts[0].label_names)} in {settings.data[0]} and {few(part.label_names)} in {name}"
            raise CommandError(f"--data: all must have the same labels, which --names can choose, got {sides}")
    return datasets.ConcatDataset(*parts)


def _is_coco(data):
    return isinstance(data, datasets.COCODataset)


def _parts(data):
    """Return the data sets that a joined or chosen one is made of."""
    if isinstance(data, datasets.ConcatDataset):
        return [part for dataset in data.datasets for part in _parts(dataset)]
    return _parts(data.dataset) if isinstance(data, datasets.Subset) else [data]
