"""The Pythons of this machine, and environments made with them."""

import pathlib
import shutil
import subprocess
import sys

from chainfpn.install import run

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
#: The oldest NumPy that has a wheel for a Python, where that is not 1.26.
OLDEST_NUMPY = {"3.13": "2.1", "3.14": "2.3"}


def find_interpreters():
    """Return a dict of the versions found here and the interpreter of each: on the PATH, by pyenv, or this one."""
    found = {}
    for version in VERSIONS:
        candidates = [f"python{version}", *sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
        for candidate in [*candidates, "python3", sys.executable]:
            path = shutil.which(candidate)  # pyenv's shims exist for versions that do not
            if path and python_version(path) == version:
                found[version] = path
                break
    return found


def python_version(python):
    """Return an interpreter's version, such as 3.11, or None if it cannot make environments."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def numpy_requirements(version):
    """Return what pip must install for the oldest and the newest NumPy on a Python."""
    return (f"numpy=={OLDEST_NUMPY.get(version, '1.26')}.*", "numpy")


def make_environment(python, folder, requirements):
    """Make a virtual environment, unless it is there, and install wheels into it; nothing is compiled.

    Args:
        python (str): The interpreter.
        folder (pathlib.Path): Where to make it.
        requirements (list): What pip installs.

    Returns:
        pathlib.Path: The environment's interpreter.
    """
    executable = folder / "bin" / "python"
    if not executable.exists():
        run([python, "-m", "venv", folder])
    pip_install(executable, *requirements)
    return executable


def pip_install(python, *requirements):
    """Install wheels into an environment."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "install", "--only-binary", ":all:", *requirements])


def build_wheel(root, folder):
    """Build chainfpn's wheel from a checkout.

    Args:
        root (pathlib.Path): The checkout; nothing is written there.
        folder (pathlib.Path): Receives the file.

    Returns:
        pathlib.Path: The wheel.
    """
    shutil.copytree(root, folder / "source", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "source"])
    (wheel,) = folder.glob("chainfpn-*.whl")
    return wheel
