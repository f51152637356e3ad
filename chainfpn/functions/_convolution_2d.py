"""Two-dimensional convolution that is fast on the CPU."""

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import intel64
from chainer.functions.connection import convolution_2d as chainers

from chainfpn.functions._arguments import check_outsize
from chainfpn.functions.kernels import convolution as kernels


class Convolution2DFunction(chainers.Convolution2DFunction):
    """See :func:`convolution_2d`. The name and the attributes are Chainer's: its exporters know them."""

    def __init__(self, geometry):
        super().__init__(geometry.stride, geometry.pad, dilate=geometry.dilate, groups=geometry.groups)
        self.geometry = geometry

    def forward_cpu(self, inputs):
        """Convolve, and add the bias in place."""
        self.retain_inputs((0, 1))
        x, W = inputs[:2]
        y = kernels.forward(x, W, self.geometry)
        if len(inputs) == 3:
            y += inputs[2][:, None, None]
        return (y,)

    def backward(self, indexes, grad_outputs):
        """Return the gradients that are asked for."""
        x, W = self.get_retained_inputs()
        (gy,) = grad_outputs
        gradients = []
        if 0 in indexes:
            gradients += InputGradient(self.geometry, x.shape).apply((gy, W))
        if 1 in indexes:
            gradients += WeightGradient(self.geometry, W.shape, W.dtype).apply((x, gy))
        if 2 in indexes:
            gradients.append(F.sum(gy, axis=(0, 2, 3)))
        return gradients


class InputGradient(chainer.FunctionNode):
    """Gradient of the convolution in x: from gy (B, O, outh, outw) and W. It is linear in both."""

    def __init__(self, geometry, x_shape):
        super().__init__()
        self.geometry = geometry
        self.x_shape = x_shape

    def forward_cpu(self, inputs):
        """Bring every gradient to the pixels of its window."""
        self.retain_inputs((0, 1))
        return (kernels.input_gradient(*inputs, self.x_shape, self.geometry),)

    def backward(self, indexes, grad_outputs):
        """Differentiate once more."""
        gy, W = self.get_retained_inputs()
        (ggx,) = grad_outputs
        gradients = []
        if 0 in indexes:
            gradients += Convolution2DFunction(self.geometry).apply((ggx, W))
        if 1 in indexes:
            gradients += WeightGradient(self.geometry, W.shape, W.dtype).apply((ggx, gy))
        return gradients


class WeightGradient(chainer.FunctionNode):
    """Gradient of the convolution in W: from x and gy (B, O, outh, outw). It is linear in both."""

    def __init__(self, geometry, W_shape, W_dtype):
        super().__init__()
        self.geometry = geometry
        self.W_shape = W_shape
        self.W_dtype = W_dtype

    def forward_cpu(self, inputs):
        """Sum the products of gradients and windows."""
        self.retain_inputs((0, 1))
        return (kernels.weight_gradient(*inputs, self.W_shape, self.W_dtype, self.geometry),)

    def backward(self, indexes, grad_outputs):
        """Differentiate once more."""
        x, gy = self.get_retained_inputs()
        (ggW,) = grad_outputs
        gradients = []
        if 0 in indexes:
            gradients += InputGradient(self.geometry, x.shape).apply((gy, ggW))
        if 1 in indexes:
            gradients += Convolution2DFunction(self.geometry).apply((x, ggW))
        return gradients


def convolution_2d(x, W, b=None, stride=1, pad=0, *, dilate=1, groups=1):
    """Convolve as ``chainer.functions.convolution_2d`` does, faster on NumPy arrays.

    Other arrays, and NumPy's where iDeep is switched on, go to Chainer's function.

    Args:
        x (Variable or array): float16/32/64, (B, C, H, W). float16 is computed in float32.
        W (Variable or array): float16/32/64, (O, C / groups, kh, kw).
        b (Variable, array or None): dtype of x, (O,).
        stride, pad, dilate (int or pair of ints): For rows and columns.
        groups (int): Number of independent groups of channels.

    Returns:
        Variable: dtype of x, (B, O, outh, outw) with outh = (H + 2 pad - dilate (kh - 1) - 1) // stride + 1.

    Raises:
        chainer.utils.type_check.InvalidType: if the shapes or dtypes do not fit.
        ValueError: if stride or dilate is not positive, pad is negative, the kernel does not fit into the image, or
            groups does not divide O.

    Example:
        >>> import numpy as np
        >>> from chainfpn.functions import convolution_2d
        >>> convolution_2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), pad=1).array[0, 0]
        array([[4., 6., 4.],
               [6., 9., 6.],
               [4., 6., 4.]])
    """
    if groups < 1 or len(W) % groups:
        raise ValueError(f"convolution_2d: groups must be > 0 and divide W's {len(W)} output channels, got {groups!r}")
    inputs = (x, W) if b is None else (x, W, b)
    arrays = [a.array if isinstance(a, chainer.Variable) else a for a in inputs]
    if intel64.should_use_ideep(">=auto") or not all(isinstance(a, np.ndarray) for a in arrays):
        return F.convolution_2d(x, W, b, stride, pad, dilate=dilate, groups=groups)
    stride = check_outsize("convolution_2d", stride, "stride")
    pad = check_outsize("convolution_2d", pad, "pad", least=0)
    dilate = check_outsize("convolution_2d", dilate, "dilate")
    (y,) = Convolution2DFunction(kernels.Geometry(stride, pad, dilate, groups)).apply(inputs)
    return y
