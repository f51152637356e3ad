"""Import and forward on every Python here, each in a fresh environment, with old and new NumPy and setuptools.

    python scripts/smoke.py                            # every interpreter that is found
    python scripts/smoke.py python3.10 python3.12      # the interpreters to try
    python scripts/smoke.py --wheels DIR python3.13    # with Chainer's and ChainerCV's wheels built before

Each interpreter gets a virtual environment with Chainer, ChainerCV and chainfpn installed from wheels, without a
compiler. scripts/import_and_forward.py must then run, with warnings as errors, in every state of the environment: also
without bytecode, and with Chainer imported before chainfpn through the hook of ``chainfpn compat enable``.
"""

import argparse
import concurrent.futures
import os
import pathlib
import tempfile

import interpreters

from chainfpn import install

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHECK = (ROOT / "scripts" / "import_and_forward.py").as_posix()


def smoke(python, wheels, folder):
    """Try every state of the environment with one interpreter.

    Args:
        python (str): The interpreter.
        wheels (list of pathlib.Path): What to install.
        folder (pathlib.Path): Where to make the virtual environment.

    Returns:
        list of str: A line for each state.
    """
    oldest, newest = interpreters.numpy_requirements(interpreters.python_version(python))
    executable = interpreters.make_environment(python, folder, [*wheels, newest, "setuptools==70.*"])
    check = [executable, "-I", "-W", "error", CHECK]
    lines = [f"{newest}, setuptools 70: {silent(check)}"]
    interpreters.pip_install(executable, "setuptools==80.*")
    lines.append(
        f"{newest}, setuptools 80, no bytecode: {silent([*check[:1], '-X', f'pycache_prefix={folder}', *check[1:]])}"
    )
    interpreters.run([executable, "-m", "pip", "--quiet", "uninstall", "--yes", "setuptools"])
    interpreters.run([executable, "-m", "chainfpn", "compat", "enable"])
    lines.append(f"{newest}, no setuptools, Chainer first: {silent([*check, '--chainer-first'])}")
    interpreters.run([executable, "-m", "chainfpn", "compat", "disable"])
    interpreters.pip_install(executable, oldest)
    lines.append(f"{oldest}, no setuptools: {silent(check)}")
    interpreters.pip_install(executable, "setuptools==80.*")
    lines.append(f"{oldest}, setuptools 80: {silent(check)}")
    return lines


def silent(command):
    """Return the standard output of a command that must succeed and write nothing to standard error."""
    return interpreters.run(command, cwd=tempfile.gettempdir(), silent=True)


def main():
    """Build the wheels once and try every interpreter that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="an interpreter; all that are found by default")
    parser.add_argument("--wheels", type=pathlib.Path, metavar="DIR", help="where chainfpn.install put its wheels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chainfpn-smoke-") as temporary:
        work = pathlib.Path(temporary)
        chainer_wheels = arguments.wheels or work / "chainer"
        if arguments.wheels is None:
            install.build(chainer_wheels)
        wheels = [*chainer_wheels.glob("*.whl"), interpreters.build_wheel(ROOT, work)]
        pythons = arguments.pythons or list(interpreters.find_interpreters().values())
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            tasks = [
                pool.submit(smoke, python, wheels, work / f"environment{number}")
                for number, python in enumerate(pythons)
            ]
            for task in tasks:
                print(*task.result(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
