"""A pytest plugin for Chainer's and ChainerCV's own tests, whose settings make errors of all warnings."""

import os

import pytest

from chainfpn import compat

#: What today's Python and pytest say about the tests, not about what they test.
ABOUT_THE_TESTS = (
    "ignore:It is deprecated to return a value that is not None:DeprecationWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnknownMarkWarning",
    "ignore::ResourceWarning",
)


def pytest_configure(config):
    """Ignore what chainfpn ignores, for pytest resets the filters before each test, and what is about the tests."""
    filters = [shim for shim in compat.TABLE if isinstance(shim, compat.WarningFilter)]
    ours = [f"ignore:{shim.name}:{shim.category.__name__}:{shim.module}" for shim in filters]
    for line in (*ours, *ABOUT_THE_TESTS):
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Run one of so many tests."""
    items[:] = items[:: int(os.environ["UPSTREAM_TESTS_SAMPLE"])]
