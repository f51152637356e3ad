"""Bytes to ``{name: tensor}``: every container, without the library that wrote it, and without executing anything."""
