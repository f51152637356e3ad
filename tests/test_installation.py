"""What is installed: by the documented way with pip, in a new environment, and from the wheel."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from chainfpn import install

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("chainfpn", "weights_convert")
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__")


def run(command, environment, folder):
    """Run a command with warnings as errors where Python heeds them; return what it prints."""
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.thorough
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
    assert "person" in run("chainfpn demo", environment, tmp_path)
    for name in ("chainer", "chainercv"):
        (wheel,) = (checkout / "dist").glob(f"{name}-*.whl")
        with zipfile.ZipFile(wheel) as file:
            (licence,) = (name for name in file.namelist() if "LICENSE" in name)
            assert b"Permission is hereby granted" in file.read(licence)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel of a checkout, with this environment's setuptools."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OUT)
    command = f"{sys.executable} -m pip wheel --no-deps --no-build-isolation --wheel-dir {folder}"
    run(f"{command} {folder / 'checkout'}", os.environ, folder)
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


@pytest.mark.slow
def test_the_wheel_alone_converts_and_says_what_is_missing(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path}
    run(f"python -m pip install --quiet --no-deps {wheel} numpy", environment, tmp_path)
    file = ROOT / "tests" / "earlier_files" / "converted.npz"
    assert "written" in run(f"weights-convert {file} back.pth", environment, tmp_path)
    assert (tmp_path / "back.pth").stat().st_size > 10_000
    assert "--wheels DIR" in run("python -m chainfpn.install --help", environment, tmp_path)
    sentence = "chainfpn needs chainer, which is not installed; python -m chainfpn.install builds and installs it"
    for command in ("chainfpn demo", "python -c 'import chainfpn.links'"):
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.rstrip().endswith(sentence)
        assert "Traceback" not in done.stderr or "python" in command


def test_the_description_has_no_link_that_an_index_cannot_follow():
    text = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
    assert "](" not in text
    assert "<img" not in text


@pytest.mark.parametrize("has_filter", [True, False])
def test_sources_are_unpacked_by_a_python_without_filters_of_tarfile_too(has_filter, tmp_path, monkeypatch):
    """Debian 12 has such a one: 3.11.2."""
    tarfile.open(tmp_path / "sources.tar.gz", "w:gz").close()
    seen = []
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda tar, path, **options: seen.append((path, options)))
    monkeypatch.setattr(tarfile, "data_filter", None, raising=False)
    if not has_filter:
        monkeypatch.delattr(tarfile, "data_filter")
    install.unpack(tmp_path / "sources.tar.gz", tmp_path)
    assert seen == [(tmp_path, {"filter": "data"} if has_filter else {})]
