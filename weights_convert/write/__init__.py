"""Write a checkpoint: all of it, or nothing."""

from weights_convert.write.formats import FORMATS, format_of, write_checkpoint, write_npz

__all__ = ["FORMATS", "format_of", "write_checkpoint", "write_npz"]
