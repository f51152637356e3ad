"""Build the wheel and the source distribution of HEAD so that who builds them again gets the same bytes.

    python scripts/build_dist.py [DIR]      # dist by default

What git has of HEAD is built, never the working tree. Times are those of the commit; owners, modes and order in the
source distribution, which setuptools takes from the machine, are set.
"""

import argparse
import contextlib
import gzip
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import interpreters

from chainfpn.install import unpack

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: Its version stands in the wheel, so it is one.
BUILD_TOOL = "setuptools==80.9.0"

_BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]  # setuptools sets the arguments
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


def git(*arguments: str) -> str:
    """Return what git prints in the checkout."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def build(folder: pathlib.Path, python: str | os.PathLike[str] | None = None) -> list[pathlib.Path]:
    """Build both files.

    Args:
        folder (pathlib.Path): Receives them; made if missing.
        python (str, path or None): An interpreter that has setuptools, and wheel where that is older than 70; without
            one, an environment is made and pip installs :data:`BUILD_TOOL`.

    Returns:
        list of pathlib.Path: The source distribution and the wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    time = git("log", "-1", "--format=%ct")
    with tempfile.TemporaryDirectory(prefix="chainfpn-dist-") as name:
        work = pathlib.Path(name)
        python = python or interpreters.make_environment(sys.executable, work / "env", [BUILD_TOOL])
        archive = work / "source.tar"
        git("archive", "--format=tar", f"--output={archive}", "HEAD")
        unpack(archive, work / "source")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": time}
        interpreters.run([python, "-c", _BUILD, work / "out"], cwd=work / "source", env=environment, umask=0o022)
        (sdist,), (wheel,) = (work / "out").glob("*.tar.gz"), (work / "out").glob("*.whl")
        repack(sdist, folder / sdist.name, int(time))
        (folder / wheel.name).write_bytes(wheel.read_bytes())
    return [folder / sdist.name, folder / wheel.name]


def repack(source: pathlib.Path, target: pathlib.Path, time: int) -> None:
    """Copy a ``.tar.gz`` without what the machine put into it.

    Args:
        source (pathlib.Path): The file.
        target (pathlib.Path): The copy: sorted, of one time, owned by root, modes 644 and 755.
        time (int): Seconds since 1970.
    """
    with contextlib.ExitStack() as stack:
        tar = stack.enter_context(tarfile.open(source))
        stream = stack.enter_context(target.open("wb"))
        packed = stack.enter_context(gzip.GzipFile("", "wb", 9, stream, time))
        copy = stack.enter_context(tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT))
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size, clean.mtime = member.type, member.size, time
            clean.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            copy.addfile(clean, tar.extractfile(member) if member.isfile() else None)


def sha256(path: pathlib.Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Build, and print the hashes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=ROOT / "dist", help="dist by default")
    for path in build(parser.parse_args().folder):
        print(f"{sha256(path)}  {path.name}")


if __name__ == "__main__":
    main()
