"""Real photographs, cut from the one that is bundled with the package."""

import numpy as np
from chainercv.utils import read_image

from chainfpn.data import photograph_path


def photographs():
    """Return a portrait, a landscape and a small photograph.

    Returns:
        dict of array: float32, (3, H, W), RGB, 0..255.
    """
    img = read_image(str(photograph_path()))  # (3, 512, 512)
    return {
        "portrait": np.ascontiguousarray(img[:, :500, 60:393]),
        "landscape": np.ascontiguousarray(img[:, 40:361, :]),
        "small": np.ascontiguousarray(img[:, 20:131, 130:291]),
    }
