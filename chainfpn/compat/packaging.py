"""What Chainer and ChainerCV miss of setuptools and distutils: a little of ``pkg_resources`` and ``strtobool``."""

import types
from typing import Any

from chainfpn.compat.shims import Module


def _pkg_resources() -> dict[str, Any]:
    """Return the namespace of ``pkg_resources``: what looks up and checks distributions, and what pytest calls."""
    import importlib.metadata

    from packaging.requirements import Requirement

    class ResolutionError(Exception):
        """A requirement is not met."""

    class DistributionNotFound(ResolutionError):
        """A required distribution is not installed."""

    class VersionConflict(ResolutionError):
        """A required distribution is installed in another version."""

    def get_distribution(name: str) -> types.SimpleNamespace:
        """Return an object with the ``project_name`` and ``version`` of an installed distribution."""
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise DistributionNotFound(name) from None
        return types.SimpleNamespace(project_name=name, version=version)

    def require(*requirements: str) -> list[types.SimpleNamespace]:
        """Return the distributions that meet the requirements, given as strings such as ``numpy>=1.10``."""
        found = []
        for requirement in map(Requirement, requirements):
            distribution = get_distribution(requirement.name)
            if not requirement.specifier.contains(distribution.version, prereleases=True):
                raise VersionConflict(distribution, requirement)
            found.append(distribution)
        return found

    class WorkingSet:
        """The installed distributions."""

        def require(self, *requirements: str) -> list[types.SimpleNamespace]:
            """Return the distributions that meet the requirements."""
            return require(*requirements)

    return {
        "ResolutionError": ResolutionError,
        "DistributionNotFound": DistributionNotFound,
        "VersionConflict": VersionConflict,
        "get_distribution": get_distribution,
        "require": require,
        "WorkingSet": WorkingSet,
        "fixup_namespace_packages": lambda path_item, parent=None: None,  # for pytest's monkeypatch.syspath_prepend
    }


def _distutils_util() -> dict[str, Any]:
    """Return the namespace of ``distutils.util``: ``strtobool`` alone."""
    words = {1: ("y", "yes", "t", "true", "on", "1"), 0: ("n", "no", "f", "false", "off", "0")}

    def strtobool(val: str) -> int:
        """Return 1 for a word that means yes, 0 for one that means no."""
        for truth, known in words.items():
            if val.lower() in known:
                return truth
        raise ValueError(f"invalid truth value {val.lower()!r}")

    return {"strtobool": strtobool}


PACKAGING = (
    Module(
        "pkg_resources",
        since="setuptools 81; Python 3.12 installs no setuptools at all",
        needed_by="chainer: _environment_check, testing; chainercv: __init__",
        stand_in="require, get_distribution, WorkingSet and their errors, on importlib.metadata",
        contents=_pkg_resources,
    ),
    Module(
        "distutils",
        since="Python 3.12",
        needed_by="chainercv: utils/download",
        stand_in="an empty package",
        contents=dict,
    ),
    Module(
        "distutils.util",
        since="Python 3.12",
        needed_by="chainercv: utils/download",
        stand_in="strtobool alone",
        contents=_distutils_util,
    ),
)
