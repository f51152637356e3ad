"""Bytes to ``{name: tensor}``: every container, without the libraries that wrote them, and without executing anything."""

from weights_convert.read.contents import Contents, open_checkpoint

__all__ = ["Contents", "open_checkpoint"]
