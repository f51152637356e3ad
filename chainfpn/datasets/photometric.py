"""Random changes of light and colour."""

import math

import numpy as np

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

    def __init__(self, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02):
        amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
        for name, amount in amounts.items():
            if not 0 <= amount <= 1:
                raise ValueError(f"RandomPhotometric: {name} must be in 0..1, got {amount!r}")
        self._changes = (
            (_brighten, 1 - brightness, 1 + brightness),
            (_contrast, 1 - contrast, 1 + contrast),
            (_saturate, 1 - saturation, 1 + saturation),
            (_turn, -hue, hue),
        )

    def __call__(self, example):
        """Transform an example.

        Args:
            example (tuple): ``img`` (3, H, W), and what else it has.

        Returns:
            tuple: The same with other colours.
        """
        img, *rest = example
        for k in np.random.permutation(len(self._changes)):
            change, low, high = self._changes[k]
            amount = np.random.uniform(low, high)
            if low < high:
                img = np.clip(change(img, np.float32(amount)), 0, 255)
        return img, *rest


def _brighten(img, factor):
    return img * factor


def _contrast(img, factor):
    mean = np.float32(_grey(img).mean())
    return (img - mean) * factor + mean


def _saturate(img, factor):
    grey = _grey(img)
    return (img - grey) * factor + grey


def _turn(img, turns):
    angle = 2 * math.pi * float(turns)
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = (np.linalg.inv(_TO_YIQ) @ rotation @ _TO_YIQ).astype(np.float32)
    return (matrix @ img.reshape(3, -1)).reshape(img.shape)


def _grey(img):
    """Return the brightness of each pixel: (H, W)."""
    return np.tensordot(_LUMA, img, 1)
