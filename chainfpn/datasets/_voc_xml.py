"""An annotation in PASCAL VOC's form."""

import math
import pathlib
import re
from typing import NamedTuple
from xml.etree import ElementTree

from chainfpn._typing import Size
from chainfpn.datasets._box_table import annotated_size
from chainfpn.datasets._files import DataError, to_number
from chainfpn.datasets._left_out import LeftOut, Omission

#: The corners of a box in the order of ours, and how many pixels VOC counts them further on.
_CORNERS = {"ymin": 1, "xmin": 1, "ymax": 0, "xmax": 0}
_DECLARATION = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"'][^>]*>")


class VOCObject(NamedTuple):
    """An object: name, box (yxyx) and whether it is difficult."""

    name: str
    bb: list[float]
    difficult: bool


class VOCAnnotation(NamedTuple):
    """The size of an image, if it is given, its objects, what of them was left out, and why it cannot be read."""

    size: Size | None
    objects: list[VOCObject]
    left_out: LeftOut
    error: DataError | None = None

    @property
    def problems(self) -> list[Omission]:
        """A sentence about everything that cannot be read: list of Omission."""
        return self.left_out.omissions if self.error is None else [self.error.omission]


def read_annotation(path: pathlib.Path) -> VOCAnnotation:
    """Read an annotation; an object without a name or a box is left out.

    Args:
        path (pathlib.Path): The XML, in the encoding that it declares.

    Returns:
        VOCAnnotation: What it says.

    Raises:
        DataError: if it cannot be read or is not XML.
    """
    root = read_xml(path)
    size = annotated_size(*(to_number(root.findtext(f"size/{side}")) for side in ("height", "width")))
    found = VOCAnnotation(size, [], LeftOut())
    for entry in root.iter("object"):
        name = (entry.findtext("name") or "").strip()
        bb = [to_number(entry.findtext(f"bndbox/{tag}")) - offset for tag, offset in _CORNERS.items()]
        if not name:
            found.left_out.note(f"{path}: has an object without a name", "objects without a name")
        elif any(map(math.isnan, bb)):
            sentence = f"{path}: has an object without a bndbox of xmin, ymin, xmax and ymax"
            found.left_out.note(sentence, "objects without a box of four numbers")
        else:
            found.objects.append(VOCObject(name, bb, _is_true(entry.findtext("difficult"))))
    return found


def read_xml(path: pathlib.Path) -> ElementTree.Element:
    """Return the root of an XML file, in the encoding that it declares; a DataError if it is none or cannot be read."""
    try:
        return _parse(path.read_bytes().lstrip())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: is not XML ({error})") from None


def _parse(content: bytes) -> ElementTree.Element:
    """Parse XML; Python's parser knows no encoding of several bytes a letter but Unicode's."""
    try:
        return ElementTree.fromstring(content)
    except (ValueError, LookupError):
        declaration = _DECLARATION.match(content)
        if declaration is None:
            raise
        return ElementTree.fromstring(content[declaration.end() :].decode(declaration[1].decode("ascii")))


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("1", "true")
