"""The kinds of shim in the compat tables, and how each takes effect."""

import contextlib
import ctypes
import dataclasses
import functools
import importlib.util
import os
import pathlib
import platform
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from chainfpn.compat import finders, patching

Loader = Callable[[types.ModuleType], None]


@dataclasses.dataclass(frozen=True)
class Shim:
    """One thing that Chainer or ChainerCV expects and that may be missing or broken.

    Args:
        name (str): What it is: a dotted Python name (a function is written ``module:function``), an environment
            variable, a library or the start of a warning.
        since (str): The release that dropped or broke it.
        needed_by (str): The files of Chainer and ChainerCV that use it.
        stand_in (str): What takes its place, in words.
    """

    name: str
    _: dataclasses.KW_ONLY
    since: str
    needed_by: str
    stand_in: str

    def enable(self) -> None:
        """Make the shim take effect, now or when the module it is for is imported."""
        raise NotImplementedError


class OnImport(Shim):
    """A shim that acts when one module is imported, or at once where that has happened."""

    @property
    def module(self) -> str:
        """The module that the shim is for."""
        return self.name.partition(":")[0]

    def enable(self) -> None:
        """Act on the module if it is imported; otherwise wait for that."""
        if self.module in sys.modules:
            self.apply(sys.modules[self.module])
        else:
            finders.ON_IMPORT.shims.setdefault(self.module, []).append(self)

    def load(self, real: Loader, module: types.ModuleType) -> None:
        """Load the module with its real loader, and act on it.

        Args:
            real (callable): Loads a module.
            module (types.ModuleType): The module, still empty.
        """
        real(module)
        self.apply(module)

    def apply(self, module: types.ModuleType) -> None:
        """Act on a module that has just been loaded.

        Args:
            module (types.ModuleType): The module.
        """


@dataclasses.dataclass(frozen=True)
class Attribute(OnImport):
    """A missing name in a module that is itself present.

    The other arguments are those of :class:`Shim`.

    Args:
        value (callable): Takes the module; returns the object that takes the name's place.
    """

    value: Callable[[Any], object]

    @property
    def module(self) -> str:
        """The module that lacks the name."""
        return self.name.rpartition(".")[0]

    def apply(self, module: types.ModuleType) -> None:
        """Set the attribute if the module has none of that name."""
        attribute = self.name.rpartition(".")[2]
        if attribute not in vars(module):  # not hasattr: NumPy 1.26 warns about the names it has dropped
            setattr(module, attribute, self.value(module))


@dataclasses.dataclass(frozen=True)
class Module(OnImport):
    """A module that is missing, or that is there and fails on import.

    The other arguments are those of :class:`Shim`.

    Args:
        contents (callable): Returns the stand-in's namespace, a dict; called when the stand-in is imported.
    """

    contents: Callable[[], dict[str, Any]]

    def enable(self) -> None:
        """Offer the stand-in to the import system, after every real finder."""
        finders.STAND_INS.shims[self.name] = self
        super().enable()

    def load(self, real: Loader, module: types.ModuleType) -> None:
        """Load the real module without its warnings; where it fails, for whatever reason, fill in the stand-in."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                real(module)
        except Exception:  # setuptools, NumPy and protobuf fail in many ways
            finders.STAND_INS.exec_module(module)


@dataclasses.dataclass(frozen=True)
class Patch(OnImport):
    """A function that is there but broken, or the top of a module: a piece of its source is replaced.

    Nothing happens before the release of ``since``, or where the text is another. The other arguments are those of
    :class:`Shim`.

    Args:
        replace (dict): Old text to new text.
        applies (callable): Whether this environment needs the patch; by default, whether the installed release
            is the one of ``since`` ("NumPy 2.0") or a later one.
    """

    replace: Mapping[str, str]
    applies: Callable[[], bool] | None = None

    def is_needed(self) -> bool:
        """Return whether this environment needs the patch."""
        return self.applies() if self.applies else _reached(self.since)

    def enable(self) -> None:
        """Wait for the module where the patch is needed."""
        if self.is_needed():
            super().enable()

    def load(self, real: Loader, module: types.ModuleType) -> None:
        """Load the module, and patch the function; or load the module from its patched source."""
        if ":" in self.name:
            super().load(real, module)
        else:
            patching.execute(module, self.replace)

    def apply(self, module: types.ModuleType) -> None:
        """Give the function its new code."""
        if ":" in self.name:
            patching.patch(module, self.name.partition(":")[2], self.replace)


@dataclasses.dataclass(frozen=True)
class Setting(Shim):
    """An environment variable that Chainer reads when it is imported, and that the user may have set.

    The other arguments are those of :class:`Shim`.

    Args:
        value (str): Set if the user has not set the variable.
        applies (callable): Whether the variable is wanted here at all; it is by default.
    """

    value: str
    applies: Callable[[], bool] = lambda: True

    def enable(self) -> None:
        """Set the variable unless the user has."""
        if self.name not in os.environ and self.applies():
            os.environ[self.name] = self.value


@dataclasses.dataclass(frozen=True)
class Library(Shim):
    """A shared library that the system's loader may not find although a wheel of this environment has it.

    The arguments are those of :class:`Shim`.
    """

    def enable(self) -> None:
        """Load the library from NVIDIA's wheels, where CuPy is installed and the loader does not find it.

        A library that is loaded already is found by whoever asks for it by its name.
        """
        nvidia = importlib.util.find_spec("nvidia")
        if nvidia is None or importlib.util.find_spec("cupy") is None:
            return
        with contextlib.suppress(OSError):
            ctypes.CDLL(self.name)
            return
        for folder in nvidia.submodule_search_locations or ():
            for path in pathlib.Path(folder).glob(f"*/lib/{self.name}"):
                with contextlib.suppress(OSError):  # CuPy will say what it misses, if it is used
                    ctypes.CDLL(str(path))


@dataclasses.dataclass(frozen=True)
class WarningFilter(Shim):
    """A warning from inside Chainer or ChainerCV that its users can do nothing about.

    The other arguments are those of :class:`Shim`.

    Args:
        category (type): The warning's class; ``name`` is the start of its message, a regular expression.
        module (str): Regular expression of the module it is blamed on.
    """

    category: type[Warning]
    module: str
    stand_in: str = dataclasses.field(default="nothing: the warning is not shown", kw_only=True)

    def enable(self) -> None:
        """Have this warning ignored."""
        warnings.filterwarnings("ignore", message=self.name, category=self.category, module=self.module)


@functools.cache
def _reached(since: str) -> bool:
    """Return whether what ``since`` begins with ("NumPy 2.0") is installed in that release or a later one."""
    import importlib.metadata

    from packaging.version import Version

    library, release = since.split()[:2]
    if library == "Python":
        return Version(platform.python_version()) >= Version(release)
    try:
        return Version(importlib.metadata.version(library)) >= Version(release)
    except importlib.metadata.PackageNotFoundError:
        return False
