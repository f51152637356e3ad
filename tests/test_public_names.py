"""Public names are documented and annotated; what the packages export says what it takes, Args, and gives, Returns.

Public is what has no leading underscore: functions, classes, and methods. The kernels behind the functions are not.
"""

import importlib
import inspect
import pathlib
import pkgutil

import pytest

from chainfpn import models

PACKAGES = ("chainfpn", "weights_convert")
#: Engines behind the functions, and programs.
INTERNAL = ("chainfpn.functions.kernels", "chainfpn.compat.__main__", "weights_convert.__main__")
#: What users import from.
EXPORTING = [
    *PACKAGES,
    *(
        f"chainfpn.{name}"
        for name in ("boxes", "compat", "data", "datasets", "export", "functions", "links", "models", "training")
    ),
]


def modules():
    """Return the names of the public modules."""
    names = list(PACKAGES)
    for package in PACKAGES:
        path = pathlib.Path(importlib.import_module(package).__file__).parent
        names += [info.name for info in pkgutil.walk_packages([str(path)], f"{package}.")]
    return [name for name in names if not name.startswith(INTERNAL) and "._" not in name]


def is_ours(value):
    """Return whether a value is a function or a class of the two packages."""
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.split(".")[0] in PACKAGES


def with_methods(name, value):
    """Yield the name of a function or class and itself, and those of the public methods that a class defines."""
    yield name, value
    for key, method in vars(value).items() if inspect.isclass(value) else ():
        function = unwrapped(method)
        if not key.startswith("_") and inspect.isfunction(function) and function.__name__ == key:  # no field's default
            yield f"{name}.{key}", method


def unwrapped(method):
    """Return the function behind a property, a class method or a static method."""
    return getattr(method, "fget", None) or getattr(method, "func", None) or getattr(method, "__func__", method)


def defined(module):
    """Yield the name and object of everything public that a module defines."""
    for name, value in vars(importlib.import_module(module)).items():
        if not name.startswith("_") and is_ours(value) and value.__module__ == module:
            yield from with_methods(f"{module}.{name}", value)


def exported():
    """Yield the name and object of everything that is exported, builders apart.

    What a builder takes stands in the class of options that its signature unpacks.
    """
    seen = []
    for module in map(importlib.import_module, EXPORTING):
        for name, value in vars(module).items():
            is_builder = name in models.list_models()
            if name.startswith("_") or not is_ours(value) or is_builder or any(value is other for other in seen):
                continue
            seen.append(value)
            for member, found in with_methods(f"{module.__name__}.{name}", value):
                if found is value or not is_inherited(value, found):
                    yield member, found


def is_inherited(cls, method):
    """Return whether a base class says what a method takes and gives."""
    name = unwrapped(method).__name__
    return any("Args:" in (inspect.getdoc(getattr(base, name, None)) or "") for base in cls.__mro__[1:])


def is_property(value):
    """Return whether a member is read like an attribute."""
    return hasattr(value, "fget") or hasattr(value, "func")


def taken(value):
    """Return the parameters of a function, a method or a class, and the annotation of the result."""
    function = vars(value).get("__init__") if inspect.isclass(value) else unwrapped(value)
    if not inspect.isfunction(function) or getattr(value, "_is_protocol", False):
        return [], None
    signature = inspect.signature(function)
    is_method = "." in function.__qualname__.rpartition("<locals>.")[2] and not isinstance(value, staticmethod)
    result = None if inspect.isclass(value) else signature.return_annotation
    return list(signature.parameters.values())[is_method:], result


@pytest.mark.parametrize("module", modules())
def test_every_public_name_has_a_docstring_and_types(module):
    lacking = []
    for name, value in defined(module):
        parameters, result = taken(value)
        types = [*(parameter.annotation for parameter in parameters), result]
        if not inspect.getdoc(value) or inspect.Parameter.empty in types:
            lacking.append(name)
    assert lacking == []


def says(value, *words):
    """Return whether the docstring, for a class also those of its bases, has one of some words."""
    docs = [inspect.getdoc(part) or "" for part in (value.__mro__ if inspect.isclass(value) else (value,))]
    return any(word in doc for doc in docs for word in words)


def test_what_is_exported_says_what_it_takes_and_gives():
    """A docstring may name the method with the same arguments, and be one line for what takes nothing and returns."""
    found = dict(exported())
    assert len(found) > 200
    lacking = set()
    for name, value in found.items():
        parameters, result = taken(value)
        if parameters and not says(value, "Args:", ":meth:", *(["Attributes:"] if inspect.isclass(value) else [])):
            lacking.add(name)
        one_line = not parameters and says(value, "Return ")
        if result not in (None, "None") and not is_property(value) and not one_line:
            lacking |= set() if says(value, "Returns:", "Yields:") else {name}
    assert lacking == set()
