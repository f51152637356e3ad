"""What is installed: by the documented way with pip, in a new environment, and from the wheel."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("chainfpn", "weights_convert")
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__")


def run(command, environment, folder):
    """Run a command with warnings as errors where Python heeds them; return what it prints."""
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_documented_commands_install_a_working_chainfpn(tmp_path):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"tests/test_installation.py.*?```console\n(.*?)```", page, re.DOTALL)
    commands = [line.removeprefix("$ ") for line in block.splitlines()]
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=LEFT_OUT)
    venv.create(tmp_path / "venv", with_pip=True)
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path}

    for command in commands:
        run(command, environment, checkout)

    folder = pathlib.Path(
        run("python -I -c 'import chainfpn; print(chainfpn.__path__[0])'", environment, tmp_path).strip()
    )
    assert tmp_path / "venv" in folder.parents
    for package in PACKAGES:
        there = {path.relative_to(checkout) for path in (checkout / package).rglob("*") if path.is_file()}
        installed = {path.relative_to(folder.parent) for path in (folder.parent / package).rglob("*")}
        assert there <= installed, f"not installed: {sorted(map(str, there - installed))}"
    assert run(f"python -I -W error {checkout}/scripts/import_and_forward.py", environment, tmp_path).startswith("ok")
    for command in ("chainfpn", "weights-convert"):
        assert command in run(f"{command} --help", environment, tmp_path)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel of a checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OUT)
    run(f"{sys.executable} -m pip wheel --no-deps --wheel-dir {folder} {folder / 'checkout'}", os.environ, folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
def test_the_wheel_has_the_two_packages_and_nothing_else(wheel):
    """All modules, kernels and data; no tests."""
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    expected = {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}
    assert {"chainfpn/data/person.npz", "chainfpn/functions/kernels/roi_align.cu"} < expected
    assert names == expected


@pytest.mark.slow
def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size < 12e6
