"""Shapes of the layers that networks are made of: ``{name: shape}`` in torch's names."""

from weights_convert._typing import AnyShapes, Shapes

#: How the name of a norm's counter of batches ends, which may be there or not: Chainer keeps it by itself.
COUNTER = ".num_batches_tracked"


def conv(name: str, n_in: int, n_out: int, size: int | tuple[int, int], bias: bool = False) -> Shapes:
    """Return the shapes of a convolution."""
    kernel = (size, size) if isinstance(size, int) else size
    return {f"{name}.weight": (n_out, n_in, *kernel)} | ({f"{name}.bias": (n_out,)} if bias else {})


def linear(name: str, n_in: int, n_out: int) -> Shapes:
    """Return the shapes of a linear layer."""
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def norm(name: str, n: int, *, statistics: bool = True) -> Shapes:
    """Return the shapes of a normalization, of a batch's with its statistics but without the optional counter."""
    return {f"{name}.{p}": (n,) for p in ("weight", "bias", *(("running_mean", "running_var") if statistics else ()))}


def conv_norm(name: str, n_in: int, n_out: int, size: int, *, statistics: bool = True) -> Shapes:
    """Return the shapes of a Sequential of a convolution and its norm."""
    return conv(f"{name}.0", n_in, n_out, size) | norm(f"{name}.1", n_out, statistics=statistics)


def size_of(shapes: AnyShapes, *names: str, axis: int = 0, default: int = 0) -> int:
    """Return the size of the first of these tensors that there is."""
    return next((shapes[name][axis] for name in names if len(shapes.get(name, ())) > axis), default)
