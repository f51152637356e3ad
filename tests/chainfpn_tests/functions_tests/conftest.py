"""Fixtures of the tests of operations."""

from reference.devices import cuda_shim, device  # noqa: F401
