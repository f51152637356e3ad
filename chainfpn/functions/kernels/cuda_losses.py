"""Terms of losses and their gradients on CuPy arrays, with as few launches as there are."""

from chainer.backends import cuda

from chainfpn._typing import Array


def binary_cross_entropy(x: Array, t: Array) -> tuple[Array, Array]:
    """Compute the terms and the gradient of ``functions.binary_cross_entropy``, in one launch."""
    return cuda.elementwise(
        "T x, U t",
        "T term, T gradient",
        """
        const T target = t, small = exp(-fabs(x));
        term = max(x, (T)0) - x * target + log1p(small);
        gradient = (x >= 0 ? 1 : small) / (1 + small) - target;
        """,
        "binary_cross_entropy",
    )(x, t)


def smooth_l1(x: Array, t: Array, beta: float) -> tuple[Array, Array]:
    """Compute the terms and the gradient of ``functions.smooth_l1_loss``, in one launch."""
    return cuda.elementwise(
        "T x, U t, T beta, T square, T shift",
        "T term, T gradient",
        """
        const T difference = x - (T)t, size = fabs(difference);
        term = size < beta ? square * size * size : size - shift;
        gradient = size < beta ? difference / beta : (T)((difference > 0) - (difference < 0));
        """,
        "smooth_l1",
    )(x, t, beta, 0.5 / beta if beta else 0, 0.5 * beta)


def cross_entropy(x: Array, t: Array) -> tuple[Array, Array]:
    """Compute the terms, (R,), and the gradient, (R, K), of ``functions.cross_entropy``, in four launches."""
    highest = x.max(axis=1, keepdims=True)
    power = cuda.elementwise("T x, T highest", "T y", "y = exp(x - highest)", "power")(x, highest)
    total = power.sum(axis=1, keepdims=True)
    term = cuda.cupy.empty(len(x), x.dtype)
    gradient = cuda.elementwise(
        "T x, T highest, T power, T total, U t, int64 n_classes",
        "T gradient, raw T term",
        """
        const bool is_target = i % n_classes == t;
        gradient = power / total - (T)is_target;
        if (is_target) term[i / n_classes] = log(total) - (x - highest);
        """,
        "cross_entropy",
    )(x, highest, power, total, t[:, None], x.shape[1], cuda.cupy.empty_like(power), term)[0]
    return term, gradient
