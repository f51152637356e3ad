"""Which library wrote these names, and how they become torchvision's."""

from weights_convert.layouts.layout import Layout, find_layout

__all__ = ["Layout", "find_layout"]
