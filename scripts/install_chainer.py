"""Install Chainer 7.8.1 and ChainerCV 0.13.1 into the Python that runs this script.

Neither project publishes a wheel, and neither source distribution builds with today's tools: both
set-up scripts import ``pkg_resources``, which setuptools 81 dropped, and ChainerCV's also compiles
a C file that no Python newer than 3.10 accepts. This script builds both in a throw-away virtual
environment with an older setuptools, leaves ChainerCV's C extension out (chainfpn brings its own
NMS), and installs the two pure-Python wheels with pip. No compiler is needed.

    python scripts/install_chainer.py                  # into this Python
    python scripts/install_chainer.py --wheels DIR     # only build the wheels, into DIR
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv

CHAINER = "chainer==7.8.1"
CHAINERCV = "chainercv==0.13.1"
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


def build(wheels):
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
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
        run([python, "-W", "ignore", "-c", PURE_SETUP, work / "out"], cwd=work / archive.name.removesuffix(".tar.gz"))
        for wheel in (work / "out").glob("*.whl"):
            shutil.copy(wheel, wheels)


def run(command, **options):
    """Run a command; end this script with its output if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {done.returncode}:\n{done.stdout}{done.stderr}")


def main():
    """Build the wheels, and install them unless only the files were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
