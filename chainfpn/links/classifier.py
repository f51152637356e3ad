"""What all classifiers share: images in, class scores out."""

from collections.abc import Sequence
from typing import NamedTuple

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

from chainfpn._imagenet import IMAGENET_MEAN, IMAGENET_STD
from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._arguments import check_image
from chainfpn.links.layers import SequentialChain, run_layers


class ClassifierPreprocess(NamedTuple):
    """Resize the shorter side, cut out the centre, normalize.

    The image is rounded to 8 bits and resized by Pillow's filter, which averages over all pixels that a smaller image
    leaves out (antialias), as torchvision's classifiers were evaluated.

    Args:
        resize (int): Length the shorter side is brought to, in pixels.
        crop (int): Side of the square cut out, in pixels, at most ``resize``.
        mean (sequence of float): Per channel, for pixels in 0..1.
        std (sequence of float): Per channel, for pixels in 0..1.
        interpolation (str): The filter: ``'bilinear'`` or ``'bicubic'``.

    Source:
        torchvision 0.14 ``transforms._presets.ImageClassification`` on a PIL image.
    """

    resize: int = 256
    crop: int = 224
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    interpolation: str = "bilinear"

    def __call__(self, img: Array) -> Array:
        """Prepare an image.

        Args:
            img (array): float32 or uint8, (3, H, W), RGB, 0..255, NumPy or CuPy.

        Returns:
            numpy.ndarray: float32, (3, crop, crop).

        Raises:
            InvalidType: if img is no array.
            ValueError: if img is not (3, H, W) with at least one pixel, crop is not in 1..resize, or there is no such
                filter.
        """
        from PIL import Image

        if not 0 < self.crop <= self.resize:
            raise InvalidArgument("ClassifierPreprocess", "crop", f"in 1..resize = {self.resize}", self.crop)
        if self.interpolation not in ("bilinear", "bicubic"):
            raise InvalidArgument("ClassifierPreprocess", "interpolation", "bilinear or bicubic", self.interpolation)
        check_image("prepare", img, "img")
        shorter = min(img.shape[1:])
        height, width = (
            self.resize if side == shorter else int(self.resize * side / shorter) for side in img.shape[1:]
        )
        top, left = (round((side - self.crop) / 2) for side in (height, width))
        pixels = np.clip(np.rint(cuda.to_cpu(img)), 0, 255).astype(np.uint8).transpose(1, 2, 0)  # (H, W, 3)
        resampling = Image.Resampling[self.interpolation.upper()]
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), resampling))
        pixels = pixels[top : top + self.crop, left : left + self.crop].astype(np.float32) / np.float32(255)
        pixels = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)  # (crop, crop, 3)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (3, crop, crop)


class Classifier(SequentialChain):
    """Layers from a batch of images to class scores; any of them can be picked.

    Subclasses register their layers in order and set ``n_class``. Calling a classifier gives what ``pick`` names: a
    layer or several, the logits by default.

    Attributes:
        n_class (int): Number of classes.
        preprocess (callable): Turns an image into the network's input; a :class:`ClassifierPreprocess`.
        label_names (sequence of str or None): Names of the classes, where the weights have some.
    """

    preprocess = ClassifierPreprocess()
    label_names = None

    def prepare(self, img: Array) -> Array:
        """Resize, cut out and normalize an image.

        Args:
            img (array): float32, (3, H, W), RGB, 0..255, NumPy or CuPy.

        Returns:
            numpy.ndarray: (3, crop, crop) in the dtype of the model.

        Raises:
            ValueError: if img is not (3, H, W) with at least one pixel.
        """
        return self.preprocess(img).astype(chainer.get_dtype(map_mixed16=np.float16), copy=False)

    def logits(self, x: Variable) -> Variable:
        """Run all layers, whatever ``pick`` is.

        Args:
            x (Variable): (B, 3, H, W).

        Returns:
            Variable: (B, n_class).
        """
        for _, h in run_layers(self, self.layer_names, x):  # (B, C, H', W'), or (B, D) once the maps are averaged
            x = h
        return x

    def predict(self, imgs: Sequence[Array]) -> list[Array]:
        """Classify images.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes, NumPy or CuPy.

        Returns:
            list of numpy.ndarray: float32, (n_class,), the probability of each class, one array per image.

        Raises:
            InvalidType: if an image is no array.
            ValueError: if one is not (3, H, W) with at least one pixel; if the last layers were removed.
        """
        if len(imgs) == 0:
            return []
        x = self.xp.asarray(np.stack([self.prepare(img) for img in imgs]))  # (B, 3, crop, crop)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            logits = self.logits(x)  # (B, n_class)
            if self.n_class == 0 or logits.shape != (len(imgs), self.n_class):
                raise ValueError(f"predict: the layers must end in {self.n_class} class scores, got {logits.shape}")
            scores = F.softmax(logits.array.astype(np.float32))  # (B, n_class)
        return list(cuda.to_cpu(scores.array))


def global_average(x: Variable) -> Variable:
    """Average each map: (B, C, H, W) to (B, C)."""
    return F.mean(x, axis=(2, 3))
