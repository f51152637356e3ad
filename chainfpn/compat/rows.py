"""The kinds of row in the compat tables, and how each puts its stand-in in place."""

import contextlib
import ctypes
import dataclasses
import importlib
import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import types
import warnings
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing that Chainer or ChainerCV expects and that may be missing.

    Args:
        name (str): What may be missing: a dotted Python name, or an environment variable.
        since (str): The release that dropped it.
        needed_by (str): The files of Chainer and ChainerCV that use it.
        stand_in (str): What takes its place, in words.
    """

    name: str
    since: str
    needed_by: str
    stand_in: str


@dataclasses.dataclass(frozen=True)
class Attribute(Row):
    """A missing name in a module that is itself present.

    Args:
        value: The object that takes the name's place.
    """

    value: object

    def enable(self):
        """Set the attribute if the module has none of that name."""
        module_name, _, attribute = self.name.rpartition(".")
        module = importlib.import_module(module_name)
        if attribute not in vars(module):  # not hasattr: NumPy 1.26 warns about the names it has dropped
            setattr(module, attribute, self.value)


@dataclasses.dataclass(frozen=True)
class Module(Row):
    """A missing module.

    Args:
        contents (callable): Returns the stand-in's namespace, a dict; called when the stand-in is imported.
        eager (bool): Import the real module in ``enable``, with its warnings silenced, and put the stand-in
            in its place if that import fails for whatever reason. Otherwise nothing is imported, and the
            stand-in is found only when no other finder has the module.
    """

    contents: Callable[[], dict]
    eager: bool = False

    def enable(self):
        """Offer the stand-in to the import system, after every real finder."""
        finder = _finder()
        finder.rows[self.name] = self
        if not self.eager or self.name in sys.modules:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(self.name)
        except Exception:  # the real module is there but broken: setuptools and NumPy fail in many ways
            self._replace_the_broken()

    def _replace_the_broken(self):
        """Put the stand-in where the real module could not be loaded."""
        parent_name, _, child = self.name.rpartition(".")
        module = importlib.util.module_from_spec(_finder().find_spec(self.name))
        module.__spec__.loader.exec_module(module)
        sys.modules[self.name] = module
        if parent_name in sys.modules:
            setattr(sys.modules[parent_name], child, module)


@dataclasses.dataclass(frozen=True)
class Setting(Row):
    """An environment variable that Chainer reads when it is imported, and that the user may have set.

    Args:
        value (str): Set if the user has not set the variable.
        applies (callable): Whether the variable is wanted here at all.
    """

    value: str
    applies: Callable[[], bool]

    def enable(self):
        """Set the variable unless the user has."""
        if self.name not in os.environ and self.applies():
            os.environ[self.name] = self.value


@dataclasses.dataclass(frozen=True)
class Library(Row):
    """A shared library that the system's loader may not find although a wheel of this environment has it."""

    def enable(self):
        """Load the library from NVIDIA's wheels, where CuPy is installed and the loader does not find it.

        A library that is loaded already is found by whoever asks for it by its name.
        """
        nvidia = importlib.util.find_spec("nvidia")
        if nvidia is None or importlib.util.find_spec("cupy") is None:
            return
        with contextlib.suppress(OSError):
            ctypes.CDLL(self.name)
            return
        for folder in nvidia.submodule_search_locations:
            for path in pathlib.Path(folder).glob(f"*/lib/{self.name}"):
                with contextlib.suppress(OSError):  # CuPy will say what it misses, if it is used
                    ctypes.CDLL(str(path))


@dataclasses.dataclass(frozen=True)
class Noise(Row):
    """A warning from inside Chainer or ChainerCV that its users can do nothing about.

    Args:
        category (type): The warning's class; ``name`` is the start of its message, a regular expression.
        module (str): Regular expression of the module it is blamed on.
    """

    category: type
    module: str

    def enable(self):
        """Have this warning ignored."""
        warnings.filterwarnings("ignore", message=self.name, category=self.category, module=self.module)


class StandInFinder:
    """Finds the stand-ins of missing modules; stands last in ``sys.meta_path``, so nothing real is replaced."""

    def __init__(self):
        self.rows = {}

    def find_spec(self, name, path=None, target=None):
        """Return the stand-in's spec if there is a row for ``name`` (the import system's protocol)."""
        if name not in self.rows:
            return None
        is_package = any(other.startswith(f"{name}.") for other in self.rows)
        return importlib.machinery.ModuleSpec(name, self, origin="chainfpn.compat", is_package=is_package)

    def create_module(self, spec):
        """Make the empty stand-in module (the import system's protocol)."""
        return types.ModuleType(spec.name, f"Stand-in by chainfpn: {self.rows[spec.name].stand_in}.")

    def exec_module(self, module):
        """Fill the stand-in module (the import system's protocol)."""
        vars(module).update(self.rows[module.__name__].contents())

        def missing(attribute):
            raise AttributeError(f"{module.__name__} is chainfpn's stand-in for a missing module; no {attribute} in it")

        module.__getattr__ = missing


def _finder():
    """Return the one finder of stand-ins, registered on first use."""
    for finder in sys.meta_path:
        if isinstance(finder, StandInFinder):
            return finder
    finder = StandInFinder()
    sys.meta_path.append(finder)
    return finder
