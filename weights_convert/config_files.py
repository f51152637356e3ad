"""Configurations of detectron2 (yaml) and mmdetection (py) as data: nothing in them is ever run."""

import ast
import io
import operator
import os
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from weights_convert._typing import Json, PathLike
from weights_convert.errors import CheckpointError, translate
from weights_convert.files import refuse_special

#: No configuration is longer, has more values, names bases of bases deeper, or needs more files.
_MAX_TEXT = 1 << 18
_MAX_VALUES = 100_000
_MAX_BASES = 8
_MAX_FILES = 64

#: No expression of one has more words between commas, or brackets in brackets; Python 3.10 crashes on very deep ones.
_MAX_WORDS = 100
_MAX_BRACKETS = 50

#: What stands where a value cannot be told without running something.
_UNKNOWN = object()

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: pow,
}  # fmt: skip
_MAX_EXPONENT = 64


def read_config(path: PathLike) -> Json:
    """Read a configuration file and those it is based on.

    Args:
        path (str or path): A .yaml of detectron2 or a .py of mmdetection, also one that ``_BASE_`` or ``_base_`` of it
            leads to other files from.

    Returns:
        dict: Its values, a base's where it has none; what only running it would tell is left out.

    Raises:
        CheckpointError: if it, or one that it is based on, cannot be read.
    """
    return _read(os.fspath(path), [], count(1))


def _read(path: str, around: list[str], n_files: Iterator[int]) -> Json:
    """Read a file that those ``around`` it are based on; ``n_files`` counts all."""
    if len(around) > _MAX_BASES:
        raise CheckpointError(f"--config {around[-1]}: is based on more than {_MAX_BASES} others, one after the other")
    if next(n_files) > _MAX_FILES:
        raise CheckpointError(f"--config {around[-1]}: is based on more than {_MAX_FILES} files")
    refuse_special(path, "not a configuration")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_TEXT + 1)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"--config {path}: cannot be read: {getattr(error, 'strerror', error)}") from error
    with translate(ValueError, f"--config {path}: must be a .yaml of detectron2 or a .py of mmdetection"):
        own = parse_python(text) if path.endswith(".py") else _parse_yaml(text, path)
    bases = own.pop("_base_", own.pop("_BASE_", [])) or []
    result: Json = {}
    for base in bases if isinstance(bases, list) else [bases]:
        result = _merge(result, _read(os.path.join(os.path.dirname(path), str(base)), [*around, path], n_files))
    return _merge(result, own)


def _merge(base: Any, own: Any) -> Any:
    """Return a value over that of a base: dicts are joined, unless ``_delete_`` stands in the upper one."""
    if not isinstance(base, dict) or not isinstance(own, dict) or own.get("_delete_"):
        return own
    return {**base, **{key: _merge(base.get(key), value) for key, value in own.items()}}


def parse_python(text: str) -> Json:
    r"""Return the values that the assignments of a Python text give, as far as literals and ``dict(...)`` tell them.

    Args:
        text (str): An mmdetection configuration, from a file or from a checkpoint.

    Raises:
        ValueError: if it is no Python text, or too long.

    Example:
        >>> parse_python("width = 2 * 32\nmodel = dict(type='FCOS', style=None, neck=dict(width=width), other=f(x))")
        {'width': 64, 'model': {'type': 'FCOS', 'style': None, 'neck': {'width': 64}}}
    """
    if len(text) > _MAX_TEXT:
        raise ValueError("is too long")
    try:
        _check_depth(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
        names: dict[str, Any] = {}
        for node in body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names[node.targets[0].id] = _value(node.value, names)
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError, ArithmeticError) as error:
        raise ValueError("is no Python text") from error
    return {name: value for name, value in names.items() if value is not _UNKNOWN}


def _check_depth(text: str) -> None:
    """Check that no expression and no chain of conditions is so deep that Python's own parser has no end of it."""
    words, chains = [0], 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        chains += token.string in ("lambda", "elif")
        if token.string in ("(", "[", "{"):
            words.append(0)
        elif token.string in (")", "]", "}"):
            words = words[:-1] or [0]
            words[-1] += 1
        elif token.string == "," or token.type == tokenize.NEWLINE:
            words[-1] = 0
        else:
            words[-1] += token.type not in (tokenize.NL, tokenize.COMMENT)
        if max(words[-1], chains) > _MAX_WORDS or len(words) > _MAX_BRACKETS:
            raise ValueError("is nested too deep")


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id, _UNKNOWN)
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(item, names) for item in node.elts]
        return [None if value is _UNKNOWN else value for value in values]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _value(key, names) for key in node.keys]
        return _dict(zip(keys, node.values, strict=True), names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return _dict(((keyword.arg, keyword.value) for keyword in node.keywords), names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _number(operator.mul, -1, _value(node.operand, names))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _number(_OPERATORS[type(node.op)], _value(node.left, names), _value(node.right, names))
    return _UNKNOWN


def _dict(items: Any, names: Mapping[str, Any]) -> Any:
    result: Json = {}
    for key, node in items:
        value = _value(node, names)
        if key is None and isinstance(value, dict):  # **value
            result |= value
        elif isinstance(key, str) and value is not _UNKNOWN:
            result[key] = value
    return result


def _number(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    numbers = all(isinstance(value, (int, float)) and abs(value) < 1e9 for value in (a, b))
    return function(a, b) if numbers and (function is not pow or abs(b) <= _MAX_EXPONENT) else _UNKNOWN


def _parse_yaml(text: str, path: str) -> Json:
    try:
        import yaml
    except ImportError:
        raise CheckpointError(f"--config {path}: reading it needs PyYAML; pip install 'chainfpn[yaml]'") from None

    class Loader(yaml.SafeLoader):
        """What has a tag of its own, such as an expression that Python is to run, is left out."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    if len(text) > _MAX_TEXT:
        raise ValueError("is too long")
    errors = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError)  # of wrong tags
    try:
        values = _literals(yaml.load(text, Loader), count(1))
    except errors as error:
        raise ValueError("is no yaml") from error
    if not isinstance(values, dict):
        raise ValueError("is no configuration")
    return values


def _literals(value: Any, n_values: Iterator[int]) -> Any:
    """Return what texts such as ``(800, 1333)`` stand for, as detectron2 takes them."""
    if next(n_values) > _MAX_VALUES:  # what is shared counts wherever it is
        raise ValueError("has too many values")
    if isinstance(value, dict):
        return {str(key): _literals(item, n_values) for key, item in value.items()}
    if isinstance(value, list):
        return [_literals(item, n_values) for item in value]
    if isinstance(value, str) and value[:1] in ("(", "["):
        return parse_python(f"value = {value}").get("value", value)
    return value
