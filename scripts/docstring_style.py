"""An extension of griffe for the site: what our docstrings have besides Google's style.

Sphinx's roles, such as ``:class:`Detector```, become links, ``Example:`` a section of doctests, and a line of several
arguments (``x, y: See ...``) one for each.
"""

import contextlib
import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(~?)([\w.]+)`")
SEVERAL = re.compile(r"^    (\w+(?:, \w+)+)( \(.+?\))?: ", re.MULTILINE)


class DocstringStyle(griffe.Extension):
    """Rewrite the docstrings of a package when it has been read."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Rewrite all docstrings of a package."""
        self.rewrite(pkg)

    def rewrite(self, obj: griffe.Object) -> None:
        """Rewrite the docstring of an object, if it has one, and those of its members."""
        for member in obj.members.values():
            if not member.is_alias:
                self.rewrite(member)
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            text = SEVERAL.sub(self.one_each, text)
            obj.docstring.value = ROLE.sub(lambda match: self.link(obj, *match.groups()), text)

    @staticmethod
    def one_each(match: re.Match) -> str:
        """Return a line for each of several arguments: the others point to the last one, which has the text."""
        *others, last = match[1].split(", ")
        kind = match[2] or ""
        return "".join(f"    {name}{kind}: As `{last}`.\n" for name in others) + f"    {last}{kind}: "

    @staticmethod
    def link(obj: griffe.Object, short: str, name: str) -> str:
        """Return a link, which is one only where the site has what it names: in full, or as in the module or class."""
        shown = name.rpartition(".")[2] if short else name
        with contextlib.suppress(griffe.NameResolutionError):
            name = obj.resolve(name)
        return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
