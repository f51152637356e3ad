"""Random changes of light and colour."""

import math

import numpy as np

from chainfpn._attributes import Fraction
from chainfpn._typing import Array

#: Share of red, green and blue in the brightness that we see (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
#: RGB to luma and two axes of colour (NTSC), in which a change of hue is a rotation.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


class RandomPhotometric:
    """Change brightness, contrast, saturation and hue, each by a random amount, in a random order.

    Brightness multiplies the pixels; contrast multiplies their distance from the image's mean brightness; saturation
    multiplies their distance from grey; hue turns their colour around grey. Boxes and masks stay as they are.

    Args:
        brightness (float): The factor is drawn from 1 - brightness to 1 + brightness.
        contrast (float): The same for contrast.
        saturation (float): The same for saturation.
        hue (float): The turn is drawn from -hue to hue, in full turns.

    Raises:
        ValueError: if an amount is not in 0..1.

    Source:
        The amounts mean what they mean in torchvision's ``ColorJitter``; its hue is an angle in HSV, ours in YIQ.
    """

    brightness, contrast, saturation, hue = Fraction(), Fraction(), Fraction(), Fraction()

    def __init__(
        self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2, hue: float = 0.02
    ) -> None:
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, example: tuple) -> tuple:
        """Transform an example.

        Args:
            example (tuple): ``img`` (3, H, W), and what else it has.

        Returns:
            tuple: The same with other colours.
        """
        img, *rest = example
        for k in np.random.permutation(len(_CHANGES)):
            name, change, centre = _CHANGES[k]
            spread = getattr(self, name)
            amount = np.random.uniform(centre - spread, centre + spread)
            if spread > 0:
                changed = change(img, np.float32(amount))
                img = np.clip(changed, 0, 255, out=changed)
        return img, *rest


def _brighten(img: Array, factor: np.float32) -> Array:
    return img * factor


def _contrast(img: Array, factor: np.float32) -> Array:
    mean = np.float32(_grey(img).mean())
    return (img - mean) * factor + mean


def _saturate(img: Array, factor: np.float32) -> Array:
    grey = _grey(img)
    return (img - grey) * factor + grey


def _turn(img: Array, turns: float) -> Array:
    angle = 2 * math.pi * float(turns)
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = (np.linalg.inv(_TO_YIQ) @ rotation @ _TO_YIQ).astype(np.float32)
    return (matrix @ img.reshape(3, -1)).reshape(img.shape)


def _grey(img: Array) -> Array:
    """Return the brightness of each pixel: (H, W)."""
    return np.tensordot(_LUMA, img, 1)


#: Attribute of :class:`RandomPhotometric`, its change, and the amount that changes nothing.
_CHANGES = (("brightness", _brighten, 1), ("contrast", _contrast, 1), ("saturation", _saturate, 1), ("hue", _turn, 0))
