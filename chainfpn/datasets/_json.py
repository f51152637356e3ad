"""JSON files of data sets, and what their values may be."""

import json
from typing import Any

from chainfpn._typing import PathLike
from chainfpn.datasets._files import DataError, read_text


def read_json(path: PathLike) -> Any:
    """Return the value of a file; what cannot be read or is no JSON raises a DataError."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error})") from None


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number that an array can have: bool."""
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def are_numbers(values: Any, n: int) -> bool:
    """Return whether a JSON value is a list of n such numbers: bool."""
    return isinstance(values, list) and len(values) == n and all(map(is_number, values))
