"""Replace pieces of a function's or a module's source text."""

import ast
import inspect
import types
import warnings
from collections.abc import Mapping
from typing import Any, cast


def patch(module: types.ModuleType, qualname: str, replace: Mapping[str, str]) -> None:
    """Give a function of a loaded module the code of its changed source; whoever holds the function has it, too.

    Args:
        module (module): Where the function is.
        qualname (str): ``function`` or ``Class.method``.
        replace (dict): Old text to new text; nothing is changed unless the source has all the old texts.
    """
    found: Any = module
    for name in qualname.split("."):
        found = vars(found)[name]
    function = inspect.unwrap(getattr(found, "fget", None) or getattr(found, "__func__", found))
    try:
        source = inspect.getsource(function)
    except OSError:  # installed as bytecode alone
        return
    if not all(old in source for old in replace):
        return
    is_method = source[0].isspace()
    header = f"def _({', '.join(function.__code__.co_freevars)}):\n" if is_method else "\n"
    tree = _parse(header + source, replace)
    (definition,) = (node for node in ast.walk(tree) if getattr(node, "name", None) == function.__name__)
    cast(ast.FunctionDef, definition).decorator_list.clear()
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 2)
    code = compile(tree, function.__code__.co_filename, "exec")
    for _ in range(1 + is_method):
        code = next(const for const in code.co_consts if isinstance(const, types.CodeType))
    function.__code__ = code


def execute(module: types.ModuleType, replace: Mapping[str, str]) -> None:
    """Load a module from its changed source.

    Args:
        module (module): The empty module.
        replace (dict): Old text to new text.
    """
    tree = _parse(cast(Any, module.__loader__).get_source(module.__name__), replace)
    exec(compile(tree, module.__file__ or module.__name__, "exec"), vars(module))


def _parse(source: str, replace: Mapping[str, str]) -> ast.Module:
    for old, new in replace.items():
        source = source.replace(old, new)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences
        return ast.parse(source)
