"""The detector that a command works with, on the device that was asked for."""

import pathlib
import sys

import chainer
from chainer.backends import cuda

from chainfpn import models
from chainfpn.cli.errors import CommandError
from chainfpn.serialization import read_weights

#: What detects where no weights are named, if torchvision's file of it can be had.
DEFAULT_MODEL = "fasterrcnn_resnet50_fpn"

#: Weights of another model differ in every name; so many lines of that are enough.
_MAX_LINES = 5


def choose_device(name):
    """Find a device by its name.

    Args:
        name (str): ``'cpu'``, ``'cuda'`` or ``'cuda:N'``.

    Returns:
        chainer.backend.Device: The device, in use.

    Raises:
        CommandError: if it is another word or there is no such device.
    """
    kind, _, number = name.partition(":")
    if name == "cpu":
        return chainer.get_device("@numpy")
    if kind != "cuda" or not (number.isdecimal() or name == "cuda"):
        raise CommandError(f"--device must be cpu or cuda:N, got {name}")
    if not cuda.available:
        raise CommandError(f"--device {name}: CuPy is missing; docs/install.md says how to install it")
    number = int(number or 0)
    count = _count_devices()
    if number >= count:
        raise CommandError(f"--device {name}: the number must be below that of the CUDA devices here, {count}")
    device = chainer.get_device(f"@cupy:{number}")
    device.use()
    return device


def _count_devices():
    """Count the CUDA devices; there is none without a driver."""
    runtime = cuda.cupy.cuda.runtime
    try:
        return runtime.getDeviceCount()
    except runtime.CUDARuntimeError:
        return 0


def load_detector(path, *, model=None, cache=False):
    """Build the detector that a weight file is of.

    Args:
        path (pathlib.Path): An .npz, or a checkpoint to convert.
        model (str or None): Name of the model, if the file does not say it.
        cache (bool): Keep the conversion of a checkpoint beside it, and use it if it is already there.

    Returns:
        chainer.Link: With ``predict`` and ``n_fg_class``, on the CPU.

    Raises:
        CommandError: if the file cannot be read or is no detector's.
    """
    if not path.exists():
        raise CommandError(f"{path}: there is no such file")
    try:
        if cache and path.suffix != ".npz":
            path = _converted(path, model)
        detector = models.load(path, model=model)
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError) as error:
        raise CommandError(shortened(str(error), path)) from error
    except MemoryError:
        raise CommandError(f"{path}: is too large for the memory") from None
    if not hasattr(detector, "n_fg_class"):
        raise CommandError(f"{path}: holds the weights of a {type(detector).__name__}, which is not a detector")
    return detector


def load_default_detector():
    """Build the detector for those who name no weights, and say on stderr which.

    It is torchvision's of COCO, if its file is at hand or can be downloaded now, and the bundled one of persons if not.

    Returns:
        chainer.Link: With ``predict`` and ``n_fg_class``, on the CPU.
    """
    from chainfpn.data import weights_path
    from weights_convert import zoo

    try:
        if not zoo.is_cached(DEFAULT_MODEL):
            size = zoo.remote_size(DEFAULT_MODEL)
            if size is None:
                raise zoo.ZooError(f"{DEFAULT_MODEL} of COCO is not in {zoo.home()} and cannot be downloaded now")
            print(f"no --weights: downloading {DEFAULT_MODEL}, {size / 1e6:.0f} MB, to {zoo.home()}", file=sys.stderr)
        detector = load_detector(pathlib.Path(zoo.fetch(DEFAULT_MODEL, progress=sys.stderr.isatty())))
    except (zoo.ZooError, CommandError) as error:
        print(f"no --weights: using the bundled person detector, for {error}", file=sys.stderr)
        return load_detector(weights_path())
    print(f"no --weights: using {DEFAULT_MODEL}, which torchvision trained on COCO", file=sys.stderr)
    return detector


def _converted(path, model):
    """Return the .npz beside a checkpoint, made now unless it already is what the checkpoint gives."""
    import weights_convert

    npz = path.with_suffix(".npz")
    if npz.exists():
        source = read_weights(npz)[1].get("source", {})
        if source.get("sha256") != weights_convert.sha256(path):
            raise CommandError(f"{npz}: exists and was not converted from {path}; remove it or leave out --cache")
        return npz
    weights_convert.convert(path, npz, model=model)
    return npz


def shortened(message, path=None):
    """Cut what may be a line per weight.

    Args:
        message (str): What went wrong.
        path (pathlib.Path or None): A file that must be named.

    Returns:
        str: The first lines, and how many more there are.
    """
    lines = message.splitlines()
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"... and {len(lines) - _MAX_LINES} more"]
    if path is not None and pathlib.Path(path).name not in lines[0]:
        lines[0] = f"{path}: {lines[0]}"
    return "\n".join(lines)
