"""Install Chainer 7.8.1 and ChainerCV 0.13.1 into the Python that runs this module.

Neither project publishes a wheel, and neither source distribution builds with today's tools: both
set-up scripts import ``pkg_resources``, which setuptools 81 dropped, and ChainerCV's also compiles
a C file that no Python newer than 3.10 accepts. This module builds both in a throw-away virtual
environment with an older setuptools, leaves ChainerCV's C extension out (chainfpn brings its own
NMS), and installs the two pure-Python wheels with pip. No compiler is needed.

    python -m chainfpn.install                  # into this Python
    python -m chainfpn.install --wheels DIR     # only build the wheels, into DIR
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Sequence
from typing import Any

CHAINER = "chainer==7.8.1"
CHAINERCV = "chainercv==0.13.1"
#: ChainerCV's licence, which its source distribution lacks and its wheel must have.
CHAINERCV_LICENCE = pathlib.Path(__file__).parent / "data" / "chainercv_licence.txt"
#: The newest setuptools that both set-up scripts still understand, and what they import besides.
BUILD_TOOLS = ("setuptools<74", "wheel", "numpy")

#: Runs ChainerCV's setup.py without its C extension.
PURE_SETUP = """
import distutils.core, runpy, sys
setup = distutils.core.setup
def pure(**options):
    return setup(**{k: v for k, v in options.items() if k not in ("ext_modules", "cmdclass", "setup_requires")})
distutils.core.setup = pure
sys.argv = ["setup.py", "-q", "bdist_wheel", "--dist-dir", sys.argv[1]]
runpy.run_path("setup.py", run_name="__main__")
"""


def build(wheels: pathlib.Path) -> None:
    """Build both wheels.

    Args:
        wheels (pathlib.Path): Folder that receives the two files; made if missing.
    """
    wheels.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chainer-build-") as folder:
        work = pathlib.Path(folder)
        builder = venv.EnvBuilder(with_pip=True)
        builder.create(work / "venv")
        python = builder.ensure_directories(work / "venv").env_exe
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run([*pip, "install", *BUILD_TOOLS])
        run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", work / "out", CHAINER])
        source = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", work]
        run([*pip, "download", *source, CHAINERCV])
        (archive,) = work.glob("chainercv-*.tar.gz")
        unpack(archive, work)
        source_folder = work / archive.name.removesuffix(".tar.gz")
        shutil.copy(CHAINERCV_LICENCE, source_folder / "LICENSE")
        run([python, "-W", "ignore", "-c", PURE_SETUP, work / "out"], cwd=source_folder)
        for wheel in (work / "out").glob("*.whl"):
            shutil.copy(wheel, wheels)


def unpack(archive: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpack sources, by the filter for data where Python has it: not before 3.10.12 and 3.11.4.

    Args:
        archive (path): A tar of someone whose set-up script is run next.
        folder (path): Where its files go.
    """
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder)


def run(command: Sequence[object], *, silent: bool = False, **options: Any) -> str:
    """Run a command and return its standard output; end this program with all its output if it fails.

    Args:
        command (sequence): The program and its arguments.
        silent (bool): It fails, too, if it writes to standard error.
        **options: Of ``subprocess.run``.

    Returns:
        str: What it printed.
    """
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode or (silent and done.stderr):
        sys.exit(f"{' '.join(map(str, command))}\nended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    """Build the wheels, and install them unless only the files were asked for."""
    parser = argparse.ArgumentParser(prog="python -m chainfpn.install", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wheels", type=pathlib.Path, metavar="DIR", help="only build the two wheels, into DIR")
    wheels = parser.parse_args().wheels
    if wheels is not None:
        build(wheels)
        return
    with tempfile.TemporaryDirectory(prefix="chainer-wheels-") as folder:
        build(pathlib.Path(folder))
        files = sorted(str(path) for path in pathlib.Path(folder).glob("*.whl"))
        run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *files])


if __name__ == "__main__":
    main()
