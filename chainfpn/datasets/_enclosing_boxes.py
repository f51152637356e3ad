"""Boxes around shapes, some of which were turned."""

import math
from collections.abc import Sequence

import numpy as np

from chainfpn._typing import Array


def enclosing_box(points: Array) -> list[float]:
    """Return the box around points (N, 2), xy: y_min, x_min, y_max, x_max."""
    return [*points.min(axis=0)[::-1].tolist(), *points.max(axis=0)[::-1].tolist()]


def turned_corners(box: Sequence[float], degrees: float, pivot: Sequence[float]) -> Array:
    """Return the corners, float64 (4, 2), xy, of a box that is turned clockwise around a pivot.

    Args:
        box (sequence of float): x_min, y_min, x_max, y_max.
        degrees (float): By how much.
        pivot (sequence of float): x and y.
    """
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], dtype=np.float64)
    if not degrees:
        return corners
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (corners - pivot) @ np.array([[cos, sin], [-sin, cos]]) + pivot


def ellipse_box(x: float, y: float, rx: float, ry: float, degrees: float) -> list[float]:
    """Return the box around an ellipse that is turned around its centre: y_min, x_min, y_max, x_max."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width, half_height = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return [y - half_height, x - half_width, y + half_height, x + half_width]
