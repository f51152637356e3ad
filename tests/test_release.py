"""The package as a release has it, and what surrounds it: notices, workflow, templates, the diffs of CONTRIBUTING."""

import io
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile
from itertools import groupby

import build_dist
import pytest
import release_check
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
VERSION = release_check.Release(pathlib.Path(), pathlib.Path(), None, rehearse=True).version


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.thorough
def test_a_rehearsed_release_is_as_it_has_to_be(tmp_path):
    """Two builds of HEAD, as in .ci/run release; this environment's setuptools, so nothing is downloaded."""
    command = [sys.executable, "scripts/release_check.py", "--rehearse", "--no-isolation", "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == ["ok"] * len(release_check.STEPS)
    assert {line.split()[1] for line in lines[-2:]} == {str(path) for path in tmp_path.iterdir()}
    assert "git tag" not in done.stdout


@pytest.fixture
def release(tmp_path):
    """Return a release whose files have next to nothing."""
    sdist, wheel = tmp_path / f"chainfpn-{VERSION}.tar.gz", tmp_path / f"chainfpn-{VERSION}-py3-none-any.whl"
    with tarfile.open(sdist, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(f"{sdist.name.removesuffix('.tar.gz')}/left.orig"))
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"chainfpn-{VERSION}.dist-info/METADATA", "Version: 9\n\nno page")
        file.writestr(f"chainfpn-{VERSION}.dist-info/licenses/LICENSE", "Ask us.")
        for name in release_check.NOTICES:
            file.writestr(f"chainfpn/data/{name}", "" if name == "person.md" else "terms")
    return release_check.Release(sdist, wheel, None, rehearse=False)


def test_what_is_missing_and_what_is_too_much_is_named(release):
    first, second, third = release.contents()
    assert "README.md" in first
    assert "lacks" in first
    assert second.endswith(f"has besides chainfpn-{VERSION}/left.orig")
    assert f"chainfpn-{VERSION}.dist-info/RECORD" in third
    assert "chainfpn/__init__.py" in third


def test_another_licence_and_an_empty_notice_are_named(release):
    assert list(release.licences()) == [
        f"chainfpn-{VERSION}.dist-info/licenses/LICENSE is not LICENSE",
        "person.md is empty",
    ]


def test_wrong_metadata_is_named(release):
    assert list(release.metadata()) == [
        "the wheel says version 9",
        "the wheel does not say that its licence is MIT",
        "the description does not render",
    ]


def test_a_build_that_differs_is_named(release, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"other")
    monkeypatch.setattr(release_check, "build", lambda folder, python: [release.sdist, other])
    assert list(release.same_bytes()) == [f"{release.wheel.name} differs when it is built again"]


@pytest.mark.parametrize(
    ("git", "changelog", "said"),
    [
        ({}, f"## [{VERSION}] - 2026-01-31\n", []),
        ({}, "## [Unreleased]\n", [f"the changelog begins with Unreleased, not with {VERSION} and a date"]),
        ({"tag": "v"}, f"## [{VERSION}] - 2026-01-31\n", [f"there is a tag v{VERSION} already"]),
        ({"grep": "a.py\nb.py"}, f"## [{VERSION}] - 2026-01-31\n", ["the version stands in a.py, b.py"]),
        ({"status": "?? a"}, f"## [{VERSION}] - 2026-01-31\n", ["not in HEAD:\n?? a"]),
    ],
)
def test_version_and_tree(release, monkeypatch, git, changelog, said):
    git = {"grep": "chainfpn/__init__.py", **git}
    monkeypatch.setattr(release_check, "git", lambda command, *rest: git.get(command, ""))
    monkeypatch.setattr(release_check, "read", lambda name: changelog)
    assert [*release.clean_tree(), *release.one_version()] == said


def test_a_repacked_archive_has_nothing_of_the_machine(tmp_path):
    def archive(name, order, **machine):
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            for member in order:
                info = tarfile.TarInfo(member)
                info.size = 3
                for key, value in machine.items():
                    setattr(info, key, value)
                tar.addfile(info, io.BytesIO(b"abc"))
        build_dist.repack(tmp_path / name, tmp_path / f"packed_{name}", 10**9)
        return (tmp_path / f"packed_{name}").read_bytes()

    first = archive("first", ["a", "b"], mtime=5.5, uid=7, uname="me", mode=0o664)
    assert first == archive("second", ["b", "a"], mtime=9, gid=3, gname="us", mode=0o600)
    assert first != archive("third", ["a", "b"], mode=0o755)
    with tarfile.open(tmp_path / "packed_first") as tar:
        assert [(member.name, member.mode, member.mtime) for member in tar] == [
            ("a", 0o644, 10**9),
            ("b", 0o644, 10**9),
        ]
        assert tar.extractfile("b").read() == b"abc"


def test_the_workflow_runs_every_part_on_every_python():
    parts = re.search(r"all parts but thorough\n.*# some of (.+)", text(".ci/run"))[1].split(", ")
    (job,) = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"].values()
    runs = job["strategy"]["matrix"]["include"]
    pythons = re.findall(r"Programming Language :: Python :: (3\.\d+)$", text("setup.cfg"), re.MULTILINE)
    assert {part for run in runs for part in run["parts"].split()} == set(parts)
    for part in ("lint", "test", "smoke"):
        found = {python for run in runs if part in run["parts"].split() for python in run["pythons"].split()}
        assert found == set(pythons), part
    assert {"run": ".ci/run ${{ matrix.parts }}"} in job["steps"]


def test_an_unknown_part_is_refused():
    done = subprocess.run([ROOT / ".ci" / "run", "lint", "tests"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "no part of .ci/run: tests\n")


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*[!g].yml")), ids=lambda path: path.stem
)
def test_issue_templates_have_what_a_form_needs(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form.keys() >= {"name", "description", "body"}
    for field in form["body"]:
        assert field["type"] in ("input", "textarea")
        assert field["attributes"]["label"]
    assert len({field["id"] for field in form["body"]}) == len(form["body"])


def test_the_citation_is_of_this_project_and_repeats_no_version():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["title"], citation["license"]) == ("chainfpn", "MIT")
    assert "version" not in citation


def test_every_bundled_file_of_others_has_a_notice():
    notices = text("THIRD_PARTY_NOTICES.md")
    bundled = {path.name for path in (ROOT / "chainfpn" / "data").iterdir() if path.suffix in (".jpg", ".npz", ".txt")}
    assert bundled == set(re.findall(r"`chainfpn/data/(\w+\.\w+)`", notices))


@pytest.mark.parametrize(("page", "n_lines"), [("CONTRIBUTING.md", 38), ("docs/architecture.md", 12)])
def test_the_diffs_of_the_pages_are_of_this_code(page, n_lines):
    """What they add is there, paragraph by paragraph; ``...`` leaves lines out."""
    n_found = 0
    for block in re.findall(r"```diff\n(.*?)```", text(page), re.DOTALL):
        for name, lines in re.findall(r"^\+\+\+ b/(\S+)\n((?:(?!---).*\n)+)", block, re.MULTILINE):
            there = [line.split("  # fmt")[0].strip() for line in text(name).splitlines() if line.strip()]
            added = [line[1:].strip() if line[0] == "+" else "..." for line in lines.splitlines()]
            paragraphs = [list(run) for cut, run in groupby(added, {"", "..."}.__contains__) if not cut]
            for paragraph in paragraphs:
                n_found += len(paragraph)
                places = range(len(there) - len(paragraph) + 1)
                assert any(there[i : i + len(paragraph)] == paragraph for i in places), (name, paragraph)
    assert n_found > n_lines
