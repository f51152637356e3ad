"""The documentation as a site, as far as can be checked without building it: `make site` does, strictly."""

import ast
import pathlib
import re

import draw_ways
import model_table
import pytest
import readme_ratios
import yaml

from chainfpn import models
from test_public_names import EXPORTING

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def test_every_page_has_a_place_in_the_navigation(config):
    named = set(re.findall(r"[\w/.]+\.md", str(config["nav"])))
    assert named >= {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - {"docs/package.md"}
    assert all((ROOT / name).is_file() for name in named)


def test_the_reference_has_every_package_that_exports():
    hooks = (ROOT / "scripts" / "site_hooks.py").read_text(encoding="utf-8")
    (packages,) = re.findall(r"^PACKAGES = (\(.+?^\))", hooks, re.MULTILINE | re.DOTALL)
    assert sorted(ast.literal_eval(packages)) == sorted(EXPORTING)


def test_nothing_is_fetched_from_elsewhere(config):
    """Neither by the theme (see CONTRIBUTING.md: the site works from the file system), nor by what we add."""
    assert config["theme"]["font"] is False
    assert {"search", "offline"} <= {plugin for plugin in config["plugins"] if isinstance(plugin, str)}
    ours = [*config["extra_css"], *config["extra"]["polyfills"]]
    assert all((ROOT / name).is_file() for name in ours)
    for path in (ROOT / "docs" / "assets").iterdir():
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path.name


def test_the_ratios_of_the_first_page_are_those_that_were_measured():
    readme, page = (path.read_text(encoding="utf-8") for path in (readme_ratios.README, readme_ratios.BENCHMARKS))
    assert readme_ratios.with_ratios(readme, page) == readme, "run python scripts/readme_ratios.py"
    assert len(re.findall(r"\| [\d.]+ \|", readme_ratios.table(page))) >= 4


@pytest.mark.slow
def test_the_pictures_of_the_ways_are_drawn_by_the_script(tmp_path):
    draw_ways.main(tmp_path)
    drawn, shown = (
        {path.name: path.read_text(encoding="utf-8") for path in folder.glob("way_of_*")}
        for folder in (tmp_path, ROOT / "docs" / "images")
    )
    assert drawn == shown, "run python scripts/draw_ways.py"


@pytest.mark.slow
def test_the_table_of_models_has_the_parameters_of_the_page_of_parity():
    rows = {line.split("`")[1]: line for line in model_table.table() if "`" in line.split("|")[1]}
    assert list(rows) == list(models.MODELS)
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert "<!-- table of all models -->" in page
    counted = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE))
    assert len(counted) > 40
    assert {name: rows[name].split(" | ")[1] for name in counted} == counted
    timed = {name for name, row in rows.items() if float(row.split(" | ")[3] or 0) > 0}
    assert {"resnet50", "fasterrcnn_resnet50_fpn"} <= timed
