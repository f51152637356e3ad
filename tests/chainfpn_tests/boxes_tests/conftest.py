"""Fixtures of the tests of boxes."""

from reference.devices import cuda_shim, device  # noqa: F401
