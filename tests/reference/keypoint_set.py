"""A small data set with keypoints: a bright square in each image, marked at its corners."""

import json

import numpy as np
from PIL import Image

NAMES = ["left_top", "right_top", "left_bottom", "right_bottom"]


def write_keypoint_set(folder, n=6, side=64):
    """Write images and COCO's JSON of them.

    Args:
        folder (pathlib.Path): An empty folder.
        n (int): How many images.
        side (int): Their height and width.

    Returns:
        dict: The JSON.
    """
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(1, n + 1):
        pixels = np.full((side, side, 3), 40, dtype=np.uint8)
        length = int(rng.integers(side // 3, side // 2))
        x, y = (int(value) for value in rng.integers(0, side - length, 2))
        pixels[y : y + length, x : x + length] = 220
        Image.fromarray(pixels).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": side, "width": side})
        right, bottom = x + length, y + length
        corners = [(x, y, 2), (right, y, 2), (x, bottom, 1), (right, bottom, 2) if i % 2 else (0, 0, 0)]
        annotations.append(
            {
                **{"id": i, "image_id": i, "category_id": 1, "bbox": [x, y, length, length], "area": length**2},
                **{"keypoints": [value for corner in corners for value in corner], "num_keypoints": 3 + i % 2},
            }
        )
    categories = [{"id": 1, "name": "square", "keypoints": NAMES}]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (folder / "a.json").write_text(json.dumps(content))
    return content
