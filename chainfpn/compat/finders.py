"""The two import finders: one acts on modules as they are loaded, the other has stand-ins for what nobody has."""

import copy
import functools
import importlib.machinery
import sys
import types
from collections.abc import Callable
from typing import Any

#: What chainfpn cannot do without, and no index has a wheel of.
REQUIRED = ("chainer", "chainercv")


class OnImportFinder:
    """Stands first in ``sys.meta_path``; finds what the others find, and lets the shims take part in loading it.

    Attributes:
        shims (dict): Module name to the shims that wait for it.
        triggers (dict): Module name to what is called once, before that module is looked for.
    """

    def __init__(self) -> None:
        self.shims: dict[str, list[Any]] = {}
        self.triggers: dict[str, Callable[[], None]] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that another finder has, if there is a shim for it (the import system's protocol)."""
        if name in self.triggers:
            if name in REQUIRED and self._find(name, path, target) is None:
                there = "which is not installed; python -m chainfpn.install builds and installs it"
                raise ModuleNotFoundError(f"chainfpn needs {name}, {there}", name=name)
            self.triggers[name]()
        if name not in self.shims:
            return None
        spec = self._find(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = copy.copy(spec.loader)  # a zip file's modules share theirs
            for shim in self.shims[name]:
                real = spec.loader.exec_module
                spec.loader.exec_module = functools.partial(shim.load, real)  # type: ignore[method-assign]
        return spec

    def _find(self, name: str, path: Any, target: Any) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of the first other finder that has one."""
        others = (finder for finder in sys.meta_path if finder not in (self, STAND_INS))
        return next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)


class StandInFinder:
    """Finds the stand-ins of missing modules; stands last in ``sys.meta_path``, so nothing real is replaced."""

    def __init__(self) -> None:
        self.shims: dict[str, Any] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return the stand-in's spec if there is a shim for ``name`` (the import system's protocol)."""
        if name not in self.shims:
            return None
        is_package = any(other.startswith(f"{name}.") for other in self.shims)
        loader: Any = self
        return importlib.machinery.ModuleSpec(name, loader, origin="chainfpn.compat", is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Make the empty stand-in module (the import system's protocol)."""
        return types.ModuleType(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the stand-in module (the import system's protocol)."""
        shim = self.shims[module.__name__]
        module.__doc__ = f"Stand-in by chainfpn: {shim.stand_in}."
        vars(module).update(shim.contents())

        def missing(attribute: str) -> object:
            raise AttributeError(f"{module.__name__} is chainfpn's stand-in for a missing module; no {attribute} in it")

        module.__getattr__ = missing  # type: ignore[method-assign]


ON_IMPORT, STAND_INS = OnImportFinder(), StandInFinder()
