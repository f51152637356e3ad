import io
import pathlib
import re
import shutil
from types import SimpleNamespace

import pytest

from chainfpn.cli import sources
from chainfpn.cli.errors import CommandError
from chainfpn.cli.sources import Source, find_sources
from chainfpn.data import photograph_path
from chainfpn.images import ImageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.PNG", "notes.md", "deep/c.webp", "deep/clip.mp4", "out/a_detected.png"):
        pathlib.Path(name).parent.mkdir(exist_ok=True)
        pathlib.Path(name).touch()
    return tmp_path


def names(*inputs, **options):
    found, problems = find_sources(inputs, **options)
    return [source.name for source in found], problems


def test_a_folder_is_its_images_and_videos_but_for_the_results(folder):
    inside = ["a.PNG", "b.jpg", "deep/c.webp", "deep/clip.mp4"]
    assert names(".") == ([*inside, "out/a_detected.png"], [])
    assert names(".", without=pathlib.Path("out")) == (inside, [])


def test_a_glob_is_what_is_called_so(folder):
    assert names("*.jpg", "**/*.webp") == (["b.jpg", "deep/c.webp"], [])
    assert names("*.tif") == ([], ["*.tif: nothing is called so"])


def test_a_file_may_be_called_anything(folder):
    assert names("notes.md", "out/a_detected.png", without=pathlib.Path("out"))[0] == ["notes.md", "out/a_detected.png"]


def test_what_is_not_there_is_named(folder):
    pathlib.Path("empty").mkdir()
    assert names("no.jpg", "b.jpg", "empty") == (
        ["b.jpg"],
        ["no.jpg: there is no such file", "empty: has no images"],
    )


def test_a_list_has_files_from_here_or_beside_it(folder):
    pathlib.Path("deep/list.txt").write_text("# photographs\n\nb.jpg\nc.webp\nno.jpg\nhttp://x/y.jpg\n")
    assert names("deep/list.txt")[0] == ["b.jpg", "deep/c.webp", "no.jpg", "http://x/y.jpg"]


def test_a_list_that_cannot_be_read_is_named(folder):
    pathlib.Path("list.txt").mkdir()
    assert names("list.txt") == ([], ["list.txt: has no images"])
    with pytest.raises(CommandError, match=r"^deep: cannot be read \(Is a directory\)$"):
        sources._read_text(pathlib.Path("deep"))


@pytest.mark.parametrize(
    ("given", "found", "problem"),
    [
        ("list.txt", ["list.txt"], None),  # which is no image, and named when its turn comes
        ("remarks.txt", [], "remarks.txt: has no images"),
        ("out", [], "out: has no images but those in --out"),
        ("x" * 300 + ".jpg", [], f"{'x' * 300}.jpg: there is no such file"),
        ("?*.jpg", ["b.jpg", "dangling.jpg"], None),
        ("-", [], "-: has no images"),
    ],
)
def test_what_names_no_image_is_a_sentence(given, found, problem, folder, monkeypatch):
    feed(monkeypatch, b"")
    pathlib.Path("list.txt").write_text("list.txt\n")
    pathlib.Path("remarks.txt").write_text("# nothing\n\n")
    pathlib.Path("dangling.jpg").symlink_to("nowhere.jpg")
    assert names(given, without=pathlib.Path("out")) == (found, [] if problem is None else [problem])


def test_a_list_is_a_text(folder):
    pathlib.Path("list.txt").write_bytes(b"b.jpg\0\n")
    with pytest.raises(CommandError, match=r"^list\.txt: is not a list of images, which is a text$"):
        names("list.txt")


def feed(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_standard_input_is_a_list(folder, monkeypatch):
    feed(monkeypatch, b"b.jpg\ndeep\n")
    assert names("-")[0] == ["b.jpg", "deep/c.webp", "deep/clip.mp4"]


def test_standard_input_is_an_image(monkeypatch):
    feed(monkeypatch, photograph_path().read_bytes())
    ((source,), _) = find_sources(["-"])
    assert source.name == "stdin"
    assert source.read().size == (512, 512)


def test_an_address_is_fetched(server, tmp_path):
    shutil.copy(photograph_path(), tmp_path / "photo.jpg")
    (source,), _ = find_sources([f"{server}/photo.jpg?size=large"])
    assert source.file.name == "photo.jpg"
    assert source.read().size == (512, 512)


def test_what_cannot_be_fetched_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("no image")
    for name, problem in (("no.jpg", r"cannot be fetched \(File not found\)"), ("text.jpg", "is not an image")):
        with pytest.raises(ImageError, match=f"^{server}/{name}: {problem}$"):
            Source(f"{server}/{name}").read()
    monkeypatch.setattr(sources, "_MAX_BYTES", 3)
    with pytest.raises(ImageError, match=f"^{server}/text.jpg: is too large$"):
        Source(f"{server}/text.jpg").read()
    with pytest.raises(ImageError, match=r"^http://127\.0\.0\.1:9/a\.jpg: cannot be fetched \(.*refused"):
        Source("http://127.0.0.1:9/a.jpg").read()


@pytest.mark.parametrize("name", ["http://[x/a.jpg", "http://a\nb/c.jpg", "https://"])
def test_what_is_no_address_is_named(name):
    (source,), _ = find_sources([name])
    assert not source.is_video
    with pytest.raises(ImageError, match=f"^{re.escape(name)}: cannot be fetched"):
        source.read()


def test_only_files_are_videos():
    assert Source("clip.MOV").is_video
    assert not Source("http://x/clip.mov").is_video
    assert not Source("clip.jpg").is_video
