"""The detector that a command works with, and the device."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

import chainer
from chainer.backends import cuda

from chainfpn import WeightsError, models
from chainfpn._typing import Communicator, PathLike, Report
from chainfpn.cli.console import remark
from chainfpn.cli.errors import CommandError
from chainfpn.cli.output import writing_errors
from chainfpn.links import Detector
from weights_convert import CheckpointError

#: What detects where no weights are named, if torchvision's file of it can be had.
DEFAULT_MODEL = "fasterrcnn_resnet50_fpn"

#: Weights of another model differ in every name; so many lines of that are enough.
_MAX_LINES = 5


def choose_device(name: str, comm: Communicator = None) -> chainer.backend.Device:
    """Return the device of a name, in use.

    Args:
        name (str): ``'cpu'``, ``'cuda'`` or ``'cuda:N'``, as :func:`chainfpn.cli.options.device` checks it; of several
            processes ``'cuda'`` gives each one of its own.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        chainer.backend.Device: The device.

    Raises:
        CommandError: if there is no such device.
    """
    if comm is not None and name == "cuda":
        name = f"cuda:{comm.intra_rank}"
    if name == "cpu":
        return chainer.get_device("@numpy")
    number = int(name.partition(":")[2] or 0)
    if not cuda.available:
        raise CommandError(f"--device {name}: CuPy is missing; docs/install.md says how to install it")
    runtime = cuda.cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError:  # there is no driver
        count = 0
    if number >= count:
        raise CommandError(f"--device {name}: the number must be below that of the CUDA devices here, {count}")
    device = chainer.get_device(f"@cupy:{number}")
    device.use()
    return device


def load_detector(
    weights: PathLike, *, model: str | None = None, cache: bool = False, report: Report = remark
) -> Detector:
    """Build the detector of a weight file, or of published weights.

    Args:
        weights (str or os.PathLike): An .npz, or a checkpoint to convert, or a name that ``chainfpn models`` lists,
            such as ``maskrcnn_resnet50_fpn``.
        model (str or None): Name of the model, if the file does not name it.
        cache (bool): Keep the conversion of a checkpoint beside it, and use it if it is already there.
        report (callable): Takes a sentence about what is downloaded.

    Returns:
        chainfpn.links.Detector: On the CPU.

    Raises:
        CommandError: if there is neither such a file nor such a name, or it cannot be read or is no detector's.
    """
    detector = load_model(weights, model=model, cache=cache, report=report)
    if not hasattr(detector, "detect"):
        raise CommandError(f"{weights}: holds the weights of a {type(detector).__name__}, which is not a detector")
    return detector


def load_model(
    weights: PathLike, *, model: str | None = None, cache: bool = False, report: Report = remark
) -> chainer.Link:
    """Build the model of a weight file; the arguments and errors are those of :func:`load_detector`.

    Returns:
        chainer.Link: On the CPU.
    """
    path = find_file(weights, report)
    try:
        if cache and path.suffix != ".npz":
            path = _converted(path, model)
        return models.load(path, model=model)
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError) as error:
        raise CommandError(shortened(error, path)) from error
    except MemoryError:
        raise CommandError(f"{path}: is too large for the memory") from None


def open_detector(arguments: argparse.Namespace, report: Report, comm: Communicator = None) -> tuple[Detector, str]:
    """Build the detector of ``--weights``, or for those who name none, on the device of ``--device``.

    Args:
        arguments (argparse.Namespace): With ``weights``, ``model``, ``device``, and perhaps ``cache``.
        report (callable): Takes a sentence about what is used and downloaded.
        comm (chainermn.CommunicatorBase or None): The processes.

    Returns:
        tuple: The detector, and what it is, in a line, if ``--weights`` does not say it.

    Raises:
        CommandError: if there is no such device or detector.
    """
    device, title = choose_device(arguments.device, comm), ""
    if arguments.weights is None:
        detector, title = load_default_detector(report)
    else:
        cache = getattr(arguments, "cache", False)
        detector = load_detector(arguments.weights, model=arguments.model, cache=cache, report=report)
        if detector.label_names is None:
            names = "weights-convert --meta label_names=A,B,... gives them some"
            report(f"{arguments.weights}: its classes have no names, and are numbers from 0 here; {names}")
    detector.to_device(device)
    return detector, title


def names_of_labels(detector: Detector) -> Sequence[str]:
    """Return the names of a detector's labels; their numbers where they have none."""
    return detector.label_names or [str(i) for i in range(detector.n_fg_class)]


def count_threads(arguments: argparse.Namespace, comm: Communicator = None) -> int:
    """Return how many threads a command line asks for: of this process, and of each operator from now on.

    Args:
        arguments (argparse.Namespace): With ``threads``.
        comm (chainermn.CommunicatorBase or None): The processes, which share the cores of a machine.

    Returns:
        int: How many.
    """
    from chainfpn.functions.kernels import threads

    share = threads.default_threads() // (1 if comm is None else comm.intra_size)
    threads.N_THREADS = arguments.threads or max(1, share)
    return threads.N_THREADS


def on_engine(
    detector: Detector, name: str, n_threads: int, *, cache: PathLike | None = None, n_images: int | None = None
) -> Detector:
    """Return a detector on the engine that a command line asks for.

    Args:
        detector (chainfpn.links.Detector): The detector, on its device.
        name (str): The engine.
        n_threads (int): Threads of each detection.
        cache (str, os.PathLike or None): The weight file that exported files are kept beside.
        n_images (int or None): How many there are, if that is known.

    Returns:
        chainfpn.links.Detector: The detector.

    Raises:
        CommandError: if that engine is not to be had.
    """
    path = None if cache is None else pathlib.Path(cache)
    beside = path.with_suffix(".engine.onnx") if path is not None and path.exists() else None
    try:
        with writing_errors(beside):
            return detector.to_engine(name, threads=n_threads, cache=beside, n_images=n_images)
    except (ImportError, ValueError) as error:
        raise CommandError(f"--engine {name}: {error}") from error


def find_file(weights: PathLike, report: Report = remark) -> pathlib.Path:
    """Find a weight file, or download published weights unless they are there.

    Args:
        weights (str or os.PathLike): A path, or a name that ``chainfpn models`` lists.
        report (callable): Takes a sentence about what is downloaded.

    Returns:
        pathlib.Path: The file.

    Raises:
        CommandError: if there is neither such a file nor such a name, or it cannot be had.
    """
    from weights_convert import zoo

    path, name = pathlib.Path(weights), str(weights)
    if path.exists():
        return path
    if name in zoo.FILES:
        return _fetch(name, report)
    listed = "" if path.suffix or path.name != name else ", and chainfpn models lists no weights of that name"
    raise CommandError(f"{weights}: there is no such file{listed}")


def _fetch(name: str, report: Report) -> pathlib.Path:
    """Return the file of published weights, and report where it comes from."""
    from weights_convert import zoo

    try:
        if not zoo.is_cached(name):
            report(f"{name}: downloading to {zoo.home()}")
        return pathlib.Path(zoo.fetch(name, progress=_shows(report), report=report))
    except zoo.ZooError as error:
        raise CommandError(str(error)) from error


def _shows(report: Report) -> bool:
    """Return whether a download shows a bar: to those who see remarks on a terminal."""
    return report is remark and sys.stderr.isatty()


def load_default_detector(report: Report = remark) -> tuple[Detector, str]:
    """Build the detector for those who name no weights.

    It is torchvision's of COCO, if its file is at hand or can be downloaded now, and the bundled one of persons if not.

    Args:
        report (callable): Takes a sentence about which it is, and why.

    Returns:
        tuple: The detector, on the CPU, and what it is, in a line.
    """
    from chainfpn.data import weights_path
    from weights_convert import zoo

    try:
        if not zoo.is_cached(DEFAULT_MODEL):
            size = zoo.remote_size(DEFAULT_MODEL)
            if size is None:
                raise zoo.ZooError(f"{DEFAULT_MODEL} of COCO is not in {zoo.home()} and cannot be downloaded now")
            report(f"no --weights: downloading {DEFAULT_MODEL}, {size / 1e6:.0f} MB, to {zoo.home()}")
        path = zoo.fetch(DEFAULT_MODEL, progress=_shows(report), report=report)
        detector = load_detector(path)
    except (zoo.ZooError, CommandError) as error:
        report(f"no --weights: using the bundled person detector, for {error}")
        return load_detector(weights_path()), "detector: the bundled one, which knows persons only"
    report(f"no --weights: using {DEFAULT_MODEL}, which torchvision trained on COCO")
    return detector, f"detector: torchvision's {DEFAULT_MODEL}, which knows COCO's 80 classes"


def _converted(path: pathlib.Path, model: str | None) -> pathlib.Path:
    """Return the .npz beside a checkpoint, converted now unless it already was."""
    import weights_convert

    npz = path.with_suffix(".npz")
    if npz.exists():
        if not weights_convert.is_conversion_of(npz, path):
            raise CommandError(f"{npz}: exists and was not converted from {path}; remove it or leave out --cache")
        return npz
    weights_convert.convert(path, npz, model=model)
    return npz


def shortened(error: Exception, path: PathLike | None = None) -> str:
    """Return the first lines of the message of an error, which may have a line per weight, and how many more there are.

    The file is named before it, unless the error is one of weights or checkpoints, which name it themselves.
    """
    lines = str(error).splitlines()
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"... and {len(lines) - _MAX_LINES} more"]
    named = path is None or isinstance(error, WeightsError | CheckpointError)
    return "\n".join(lines if named else [f"{path}: {lines[0]}", *lines[1:]])
