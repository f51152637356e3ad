"""What a test needs and this machine lacks: a reason to skip it, or, where everything must be there, to fail."""

import os

import pytest


def skip_or_fail(variable, message):
    """End a test.

    Args:
        variable (str): Name of the environment variable that is 1 where tests must not be skipped.
        message (str): What is missing.
    """
    if os.environ.get(variable) == "1":
        pytest.fail(message)
    pytest.skip(message)
