"""Import and forward on several Pythons, each in a fresh environment, with old and new NumPy and setuptools.

    python scripts/smoke.py python3.10 python3.12      # the interpreters to try
    python scripts/smoke.py --wheels DIR python3.13    # with Chainer's and ChainerCV's wheels built before

Each interpreter gets a virtual environment with Chainer, ChainerCV and chainfpn installed from wheels, without a
compiler. scripts/import_and_forward.py must then run, with warnings as errors, in every state of the environment.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import install_chainer

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: What is changed by pip before each run, in order; a state whose NumPy has no wheel for the Python is left out.
STATES = (
    ("newest NumPy, no setuptools", ["uninstall", "--yes", "setuptools"]),
    ("newest NumPy, setuptools 70", ["install", "setuptools==70.*"]),
    ("newest NumPy, setuptools 80", ["install", "setuptools==80.*"]),
    ("NumPy 1.26, setuptools 80", ["install", "numpy==1.26.*"]),
    ("NumPy 1.26, no setuptools", ["uninstall", "--yes", "setuptools"]),
)


def smoke(python, wheels, folder):
    """Try every state with one interpreter.

    Args:
        python (str): The interpreter.
        wheels (list of pathlib.Path): What to install.
        folder (pathlib.Path): Where to make the virtual environment.
    """
    install_chainer.run([python, "-m", "venv", folder])
    executable = folder / "bin" / "python"
    pip = [executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install_chainer.run([*pip, "install", "--only-binary", ":all:", *wheels])
    version = output([executable, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    for state, change in STATES:
        if "1.26" in state and version == "3.13":
            continue
        install_chainer.run([*pip, *change, *(["--only-binary", ":all:"] if change[0] == "install" else [])])
        line = output([executable, "-I", "-W", "error", ROOT / "scripts" / "import_and_forward.py"])
        print(f"{state}: {line}", flush=True)


def output(command):
    """Return the standard output of a command that must succeed and write nothing to standard error."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=tempfile.gettempdir())
    if done.returncode or done.stderr:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def main():
    """Build the wheels once and try every interpreter that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="an interpreter")
    parser.add_argument("--wheels", type=pathlib.Path, metavar="DIR", help="where install_chainer.py put its wheels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chainfpn-smoke-") as temporary:
        work = pathlib.Path(temporary)
        chainer_wheels = arguments.wheels or work / "chainer"
        if arguments.wheels is None:
            install_chainer.build(chainer_wheels)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        shutil.copytree(ROOT, work / "source", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
        install_chainer.run([*pip, "wheel", "--no-deps", "--wheel-dir", work / "chainfpn", work / "source"])
        wheels = [*chainer_wheels.glob("*.whl"), *(work / "chainfpn").glob("*.whl")]
        for number, python in enumerate(arguments.pythons):
            smoke(python, wheels, work / f"venv{number}")


if __name__ == "__main__":
    main()
