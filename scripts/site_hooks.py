"""What MkDocs does for our site beside its own: see ``mkdocs.yml``.

A page keeps its place in the repository as its name (``docs/detect.md``, ``README.md``), so that relative links hold;
the address leaves out ``docs/``. Files that pages link to are copied. The reference has a page for each package that
exports something, and the page of models has a table of the registry in the place of a comment.
"""

import importlib
import inspect
import logging
import pathlib
import re
from typing import Any, TypedDict

import model_table
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from chainfpn import models

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: What users import from: a page of the reference each.
PACKAGES = (
    "chainfpn",
    "chainfpn.models",
    "chainfpn.links",
    "chainfpn.functions",
    "chainfpn.boxes",
    "chainfpn.datasets",
    "chainfpn.training",
    "chainfpn.export",
    "chainfpn.compat",
    "chainfpn.data",
    "weights_convert",
)
#: What stands in docs/models.md where the table comes.
TABLE = "<!-- table of all models -->"
#: A link that shows the file of a page.
FILE_NAME = re.compile(r"\[((?:[./\w]*/)?(\w+\.md))\]\(")
#: An option of a command in a line of text, as HTML.
OPTION = re.compile(r"<code>(-[^<]{1,24})</code>")
#: A name that alone is wider than a phone.
LONG_NAME = re.compile(r"<code>([^< ]{38,})</code>")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


#: griffe reads this list as text and cannot; the page of models has all of it.
logging.getLogger("mkdocs.plugins.griffe").addFilter(
    lambda record: "chainfpn.models.__all__" not in record.getMessage()
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation."""
    (section,) = (entry for entry in config.nav if "API" in entry)
    section["API"] = [{name.rpartition(".")[2]: f"api/{name}.md"} for name in PACKAGES]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Name what is in docs by its place in the repository, and add what is elsewhere."""
    found = {}
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
        if file.inclusion.is_included():
            name = f"docs/{file.src_uri}"
            dest_uri = file.dest_uri if file.src_uri.endswith(".md") else name
            found[name] = File(name, str(ROOT), config.site_dir, False, dest_uri=dest_uri)
    for _, name in nav_entries(config.nav):
        if not name.startswith(("docs/", "api/")):
            dest_uri = "index.html" if name == "README.md" else None
            found[name] = File(name, str(ROOT), config.site_dir, False, dest_uri=dest_uri)
    for page in [name for name in found if name.endswith(".md")]:
        for target in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
            name = (ROOT / page).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
            if name not in found and (ROOT / name).is_file():
                found[name] = File(name, str(ROOT), config.site_dir, False)
    for package in PACKAGES:
        name = f"api/{package}.md"
        found[name] = File.generated(config, name, content=reference(package))
    for file in found.values():
        files.append(file)
    return files


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Call pages by their titles where a link shows a file, and put the table of models where it belongs."""
    titles = {pathlib.PurePath(name).name: title for title, name in nav_entries(context["config"].nav)}
    markdown = FILE_NAME.sub(lambda match: f"[{titles.get(match[2], match[1])}](", markdown)
    if TABLE not in markdown:
        return markdown
    return markdown.replace(TABLE, "\n".join([*model_table.table(), "", model_table.measured_on()]))


def on_page_content(html: str, **_: Any) -> str:
    """Keep options of commands whole, which browsers part behind a hyphen, and let the longest names be parted."""
    html = OPTION.sub(r'<code class="option">\1</code>', html)
    return LONG_NAME.sub(r'<code class="long">\1</code>', html)


def nav_entries(nav: list | dict) -> list[tuple[str, str]]:
    """Return titles and files of a navigation, from top to bottom."""
    entries = []
    for title, part in nav.items() if isinstance(nav, dict) else (("", part) for part in nav):
        entries += [(title, part)] if isinstance(part, str) else nav_entries(part)
    return entries


def reference(package: str) -> str:
    """Return the page of a package: what it is, and a block of mkdocstrings for each name that it exports."""
    module = importlib.import_module(package)
    names = sorted((name for name in getattr(module, "__all__", vars(module)) if name[0] != "_"), key=str.lower)
    places = [defined_in(package, name) for name in names if is_ours(getattr(module, name))]
    if package == "chainfpn.models":
        places += sorted({typed_dict for record in models.MODELS.values() for typed_dict in option_classes(record)})
    top = f"::: {package}\n    options: {{members: false, heading_level: 1}}\n"
    return "\n".join([top, *(f"::: {place}\n" for place in places)])


def is_ours(value: Any) -> bool:
    """Return whether a value is a function or a class of the two packages."""
    is_documented = inspect.isclass(value) or inspect.isfunction(value)
    return is_documented and value.__module__.partition(".")[0] in ("chainfpn", "weights_convert")


def defined_in(package: str, name: str) -> str:
    """Return the whole name of what a package exports, by the module that defines it."""
    value = getattr(importlib.import_module(package), name)
    return f"{value.__module__}.{value.__qualname__}"


def option_classes(record: models.registry.Model) -> list[str]:
    """Return the class that describes the options of a builder, and its bases."""
    parts = record.options_class, *getattr(record.options_class, "__orig_bases__", ())
    return [f"{part.__module__}.{part.__qualname__}" for part in parts if part not in (None, TypedDict)]
