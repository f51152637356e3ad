"""Weights that follow from their names, drawn by NumPy's frozen generator: no file holds them.

``names_shapes.json`` has for each name its shape and how it is drawn: ``{"draw": "normal", "scale": s}``,
``{"draw": "uniform", "low": a, "high": b}``, ``{"draw": "zero"}``, or its very ``"values"``; float32 without a dtype.
"""

import zlib

import numpy as np


def draw(name, entry):
    """Draw the array of a name, seeded with the CRC-32 of the name.

    Args:
        name (str): The weight's name in its framework.
        entry (dict): Its shape and how it is drawn.

    Returns:
        array: Computed in float64, rounded once.
    """
    shape, dtype = entry["shape"], entry.get("dtype", "float32")
    if "values" in entry:
        return np.array(entry["values"], np.float64).reshape(shape).astype(dtype)
    random = np.random.RandomState(zlib.crc32(name.encode("ascii")))
    draws = {
        "zero": lambda: np.zeros(shape),
        "normal": lambda: entry["scale"] * random.standard_normal(shape),
        "uniform": lambda: entry["low"] + (entry["high"] - entry["low"]) * random.random_sample(shape),
    }
    return np.asarray(draws[entry["draw"]]()).astype(dtype)
