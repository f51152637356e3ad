"""Every command and every snippet of the documentation runs in what a bare clone has: see ``scripts/pages.py``.

Here our commands run without an interpreter of their own; as a reader runs them, ``scripts/follow_pages.py`` does.
"""

import re

import pytest
from follow_pages import ENVIRONMENTS
from pages import BLOCK, ROOT, blocks, copy_clone, run_page

from reference.initial_weights import draw_all

PAGES = [path for folder in ("", "docs", "examples") for path in sorted((ROOT / folder).glob("*.md"))]
#: README, and the pages that nobody follows in an environment of their own.
FOLLOWED = {ROOT / page for _, pages in ENVIRONMENTS for page in pages} - {ROOT / "README.md"}
#: Of those, the pages that take a second or less.
SHORT = {ROOT / "docs" / f"{name}.md" for name in ("first", "how_it_works", "datasets")}
RUN = [pytest.param(page, marks=pytest.mark.thorough) if page in FOLLOWED - SHORT else page for page in PAGES]
LANGUAGES = {"console", "python"}
IMPORTS = re.compile(r"^(?:>>> )?(?:import|from) (chainfpn|chainer|chainercv|chainermn)\b", re.MULTILINE)
READ_ONLY = {"", "text", "json", "ini", "toml", "diff", "mermaid"}


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:unclosed file .*'(VOC|COCO)/:ResourceWarning"
)  # ChainerCV's readers leave them open
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_blocks_run(page, tmp_path, monkeypatch):
    copy_clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("COLUMNS", "100")
    with draw_all():
        left_out = run_page(page, own_interpreters=False)
    if left_out:
        print("not run:", *left_out, sep="\n  ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_language_that_runs_or_is_for_reading(page):
    for block in blocks(page):
        assert block.language in LANGUAGES | READ_ONLY, f"{page.name}:{block.line}: {block.language}"
    n_fences = len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert n_fences == 2 * len(blocks(page)), "a fence that is not understood"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_chainfpn_is_imported_before_chainer(page):
    """On every page, and in every snippet that imports both: who copies one alone runs it in a fresh interpreter."""
    snippets = [block for block in blocks(page) if block.language == "python"]
    found = [IMPORTS.findall(block.code) for block in snippets]
    first = next((names[0] for names in found if names), "chainfpn")
    assert first == "chainfpn"
    for block, names in zip(snippets, found, strict=True):
        assert "chainfpn" not in names or names[0] == "chainfpn", f"{page.name}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_picture_is_what_the_demo_draws(tmp_path):
    """Up to a few shades: JPEG libraries differ."""
    import numpy as np

    from chainfpn.cli.main import main
    from chainfpn.images import read_image

    assert main(["demo", "--out", str(tmp_path)]) == 0
    picture = ROOT / "docs" / "images" / "demo.jpg"
    drawn, shown = (np.asarray(read_image(path), dtype=int) for path in (tmp_path / "astronaut_detected.jpg", picture))
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 1
    assert picture.stat().st_size < 150_000
