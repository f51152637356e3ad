"""Write a checkpoint: all of it, or nothing."""

from weights_convert.write.files import FORMATS, write_checkpoint

__all__ = ["FORMATS", "write_checkpoint"]
