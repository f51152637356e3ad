"""Walk what a release has to be, and print the command that tags it.

    python scripts/release_check.py                  # for a release: make release-check
    python scripts/release_check.py --rehearse       # before it: the changelog may be unreleased, the tree changed
    python scripts/release_check.py --no-isolation   # with this Python's setuptools; no network

A line for each step; status 1 if one is not as it has to be.
"""

import argparse
import email
import pathlib
import re
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator

from build_dist import ROOT, build, git, sha256

PACKAGES = ("chainfpn", "weights_convert")
DIST_INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "LICENSE", "THIRD_PARTY_NOTICES.md"}
EGG_INFO = {"PKG-INFO", "SOURCES.txt", "dependency_links.txt", "entry_points.txt", "requires.txt", "top_level.txt"}
#: Beside LICENSE: whose terms travel with the files they are about.
NOTICES = ("imagenet.md", "person.md", "photographs.md", "chainercv_licence.txt")


class Release:
    """What is checked: the checkout and its two files.

    Args:
        sdist (pathlib.Path): The source distribution.
        wheel (pathlib.Path): The wheel.
        python (str or None): The interpreter that builds, see :func:`build_dist.build`.
        rehearse (bool): Whether the changelog may be unreleased and the tree changed.

    Attributes:
        version (str): As ``chainfpn/__init__.py`` has it.
    """

    def __init__(self, sdist: pathlib.Path, wheel: pathlib.Path, python: str | None, *, rehearse: bool) -> None:
        self.sdist, self.wheel, self.python, self.rehearse = sdist, wheel, python, rehearse
        self.version = re.findall(r'^__version__ = "(.+)"$', read("chainfpn/__init__.py"), re.MULTILINE)[0]

    def clean_tree(self) -> Iterator[str]:
        """Yield what git has not."""
        changed = git("status", "--porcelain")
        if changed and not self.rehearse:
            yield f"not in HEAD:\n{changed}"

    def one_version(self) -> Iterator[str]:
        """Yield where else the version stands, or does not."""
        places = git(
            "grep", "-lE", '^ *(__version__|version) *[=:] *"?[0-9]+\\.[0-9]+', "--", "*.py", "*.cfg", "*.toml", "*.cff"
        )
        if places != "chainfpn/__init__.py":
            yield f"the version stands in {places.replace(chr(10), ', ')}"
        top = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", read("CHANGELOG.md"), re.MULTILINE)[0]
        if top != self.version and not (self.rehearse and top == "Unreleased"):
            yield f"the changelog begins with {top}, not with {self.version} and a date"
        if git("tag", "--list", f"v{self.version}"):
            yield f"there is a tag v{self.version} already"

    def same_bytes(self) -> Iterator[str]:
        """Yield the files that a second build makes differently."""
        with tempfile.TemporaryDirectory() as folder:
            for first, second in zip((self.sdist, self.wheel), build(pathlib.Path(folder), self.python), strict=True):
                if sha256(first) != sha256(second):
                    yield f"{first.name} differs when it is built again"

    def contents(self) -> Iterator[str]:
        """Yield what is missing in the files, and what is too much."""
        tracked = git("ls-tree", "-r", "--name-only", "HEAD").splitlines()
        top, info = self.sdist.name.removesuffix(".tar.gz"), f"chainfpn-{self.version}.dist-info"
        generated = {"PKG-INFO", *(f"chainfpn.egg-info/{name}" for name in EGG_INFO)}
        yield from difference(
            self.sdist.name, {f"{top}/{name}" for name in {*tracked, *generated}}, tar_names(self.sdist)
        )
        packages = {name for name in tracked if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
        wheel = {name.replace(".dist-info/licenses/", ".dist-info/") for name in zip_names(self.wheel)}
        yield from difference(self.wheel.name, packages | {f"{info}/{name}" for name in DIST_INFO}, wheel)

    def licences(self) -> Iterator[str]:
        """Yield the licences and notices that are not in the wheel as they are here."""
        with zipfile.ZipFile(self.wheel) as file:
            for name in file.namelist():
                base = name.rpartition("/")[2]
                licence = ".dist-info/" in name and base in ("LICENSE", "THIRD_PARTY_NOTICES.md")
                if licence and file.read(name).decode() != read(base):
                    yield f"{name} is not {base}"
            yield from (f"{name} is empty" for name in NOTICES if not file.read(f"chainfpn/data/{name}").strip())

    def metadata(self) -> Iterator[str]:
        """Yield what an index would show wrongly."""
        from readme_renderer import markdown

        with zipfile.ZipFile(self.wheel) as file:
            headers = email.message_from_bytes(file.read(f"chainfpn-{self.version}.dist-info/METADATA"))
        if headers["Version"] != self.version:
            yield f"the wheel says version {headers['Version']}"
        if "MIT" not in (headers["License"], headers["License-Expression"]):
            yield "the wheel does not say that its licence is MIT"
        text = headers.get_payload()
        page = markdown.render(text) if headers["Description-Content-Type"] == "text/markdown" else None
        if not page or not page.startswith("<h1") or "<li>" not in page:
            yield "the description does not render"


STEPS: dict[str, Callable[[Release], Iterator[str]]] = {
    "all that is here is in HEAD": Release.clean_tree,
    "the version stands once, heads the changelog, and has no tag": Release.one_version,
    "a second build gives the same bytes": Release.same_bytes,
    "the source distribution has all that git has, the wheel the two packages": Release.contents,
    "the licence and the notices are inside": Release.licences,
    "version and licence are said, and the description renders": Release.metadata,
}


def read(name: str) -> str:
    """Return the text of a file of the checkout."""
    return (ROOT / name).read_text(encoding="utf-8")


def tar_names(path: pathlib.Path) -> set[str]:
    """Return the files of a ``.tar.gz``."""
    with tarfile.open(path) as tar:
        return {member.name for member in tar if member.isfile()}


def zip_names(path: pathlib.Path) -> set[str]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(path) as file:
        return {name for name in file.namelist() if not name.endswith("/")}


def difference(where: str, expected: set[str], found: set[str]) -> Iterator[str]:
    """Yield what is missing and what is too much."""
    if expected - found:
        yield f"{where} lacks {', '.join(sorted(expected - found))}"
    if found - expected:
        yield f"{where} has besides {', '.join(sorted(found - expected))}"


def main() -> int:
    """Walk the steps; return the status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rehearse", action="store_true", help="the changelog may be unreleased, the tree changed")
    parser.add_argument("--no-isolation", action="store_true", help="build with this Python's setuptools")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "dist", metavar="DIR", help="dist by default")
    arguments = parser.parse_args()
    python = sys.executable if arguments.no_isolation else None
    release = Release(*build(arguments.out, python), python, rehearse=arguments.rehearse)
    n_problems = 0
    for sentence, step in STEPS.items():
        problems = list(step(release))
        n_problems += len(problems)
        print(f"{'NOT so' if problems else 'ok':7}{sentence}", *problems, sep="\n       ", flush=True)
    if n_problems:
        return 1
    for path in (release.sdist, release.wheel):
        print(f"{sha256(path)}  {path}")
    if not arguments.rehearse:
        print(f"With make lint and .ci/run passed on {git('log', '-1', '--format=%h')}:")
        print(f'  git tag --annotate v{release.version} --message "chainfpn {release.version}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
