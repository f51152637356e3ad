"""The version, as ``__meta__`` records it."""

__version__ = "0.1.0"
