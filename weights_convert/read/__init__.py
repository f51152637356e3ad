"""Bytes to ``{name: tensor}``: every container, without the library that wrote it, and without executing anything."""

from weights_convert.read.contents import Contents, open_checkpoint

__all__ = ["Contents", "open_checkpoint"]
