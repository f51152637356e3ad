"""The table of contents of a zip file, distrusted: sizes, overlaps, names and checksums are all checked."""

import struct
import zlib

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.source import Source

#: Limits against bombs: bytes of the table of contents, and how far deflated members may swell.
MAX_DIRECTORY = 8 << 20
MAX_SWELL = 200
FREE_SWELL = 64 << 20

_END = b"PK\x05\x06"
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_UNKNOWN32, _UNKNOWN16 = 0xFFFFFFFF, 0xFFFF


class Member:
    """One file in the zip. `read` gives its bytes, in place where stored, inflated otherwise, the checksum checked."""

    __slots__ = ("_end", "_source", "_start", "checked", "crc", "header", "method", "name", "size", "stored_size")

    def __init__(
        self, source: Source, name: str, method: int, crc: int, stored_size: int, size: int, header: int
    ) -> None:
        self._source = source
        self.name, self.method, self.crc = name, method, crc
        self.stored_size, self.size, self.header = stored_size, size, header
        self.checked = False

    def locate(self, limit: int) -> int:
        """Find the data behind the local header and return where it ends; it must end before ``limit``."""
        view = self._source.view
        if self.header + _LOCAL.size > limit:
            raise CheckpointError(f"zip member {self.name} begins beyond the end of the data: the file is truncated")
        magic, _, flags, method, _, _, _, _, _, n_name, n_extra = _LOCAL.unpack_from(view, self.header)
        if magic != b"PK\x03\x04" or flags & 1 or method != self.method:
            raise CheckpointError(f"zip member {self.name} has a header that does not match the table of contents")
        self._start = self.header + _LOCAL.size + n_name + n_extra
        name = bytes(view[self.header + _LOCAL.size : self.header + _LOCAL.size + n_name])
        if name != self.name.encode("utf-8", "surrogateescape"):
            raise CheckpointError(f"zip member {self.name} has another name in its header")
        self._end = self._start + self.stored_size
        if self._end > limit:
            raise CheckpointError(f"zip member {self.name} claims {self.stored_size} bytes, more than the file has")
        return self._end

    def read(self) -> memoryview:
        """Return the member's bytes."""
        stored = self._source.view[self._start : self._end]
        data = stored if self.method == 0 else self._inflate(stored)
        if not self.checked and self.crc and zlib.crc32(data) != self.crc:  # 0: writers that leave it out
            raise CheckpointError(f"zip member {self.name} is damaged: its checksum is wrong")
        self.checked = True
        return data

    def unverified(self) -> tuple[memoryview | None, int]:
        """Return the bytes in place with the checksum they should have, or ``(None, 0)`` where there is either not."""
        if self.method or not self.crc or self.checked:
            return None, 0
        return self._source.view[self._start : self._end], self.crc

    def peek(self, size: int) -> memoryview:
        """Return the first ``size`` bytes, or fewer if there are fewer; nothing is checked yet."""
        stored = self._source.view[self._start : self._end]
        return stored[: min(size, self.size)] if self.method == 0 else self._inflate(stored, min(size, self.size))

    def release(self) -> None:
        """Let go of the memory behind the bytes."""
        self._source.release(self._start, self.stored_size)

    def _inflate(self, stored: memoryview, size: int | None = None) -> memoryview:
        inflater = zlib.decompressobj(-15)
        with translate(zlib.error, f"zip member {self.name} is damaged: it cannot be inflated"):
            data = inflater.decompress(stored, size or self.size + 1)
        if len(data) != (size or self.size):
            raise CheckpointError(f"zip member {self.name} claims {self.size} bytes but inflates to something else")
        return memoryview(data)


def read_directory(source: Source) -> dict[str, Member]:
    """Return ``{name: Member}`` of a zip file.

    Raises:
        CheckpointError: if the table of contents is missing, damaged, or describes what no honest writer makes.
    """
    start, size, count = _find_directory(source)
    if size > MAX_DIRECTORY:
        raise CheckpointError(f"the zip's table of contents claims {size} bytes")
    members: dict[str, Member] = {}
    position, end = start, start + size
    while position < end:
        member, position = _read_entry(source, position, end)
        if member.name in members:
            raise CheckpointError(f"the zip has two members named {member.name}")
        members[member.name] = member
    if len(members) != count:
        raise CheckpointError(f"the zip claims {count} members and lists {len(members)}")
    _check_layout(source, members, start)
    return members


def _find_directory(source: Source) -> tuple[int, int, int]:
    view = source.view
    at = source.find_last(_END, max(0, source.size - 65557))
    if at < 0 or at + 22 > source.size:
        raise CheckpointError("the zip's table of contents is missing: the file is truncated")
    _, disk, _, _, count, size, start, _ = struct.unpack_from("<4s4H2LH", view, at)
    if disk not in (0, _UNKNOWN16):
        raise CheckpointError("the zip is one part of several")
    if _UNKNOWN32 in (size, start) or count == _UNKNOWN16:
        locator = at - 20
        if locator < 0 or bytes(view[locator : locator + 4]) != _LOCATOR64:
            raise CheckpointError("the zip needs a ZIP64 table of contents and has none")
        at = struct.unpack_from("<Q", view, locator + 8)[0]
        if at > locator - 56 or bytes(view[at : at + 4]) != _END64:
            raise CheckpointError("the zip's ZIP64 table of contents is not where it should be")
        count, size, start = struct.unpack_from("<3Q", view, at + 32)
    if start + size > at:
        raise CheckpointError("the zip's table of contents lies beyond the end of the file, which is truncated")
    return start, size, count


def _read_entry(source: Source, position: int, end: int) -> tuple[Member, int]:
    view = source.view
    if position + _ENTRY.size > end:
        raise CheckpointError("the zip's table of contents is damaged")
    entry = _ENTRY.unpack_from(view, position)
    magic, _, _, flags, method, _, _, crc, stored_size, size, n_name, n_extra, n_comment, _, _, _, header = entry
    name_at = position + _ENTRY.size
    following = name_at + n_name + n_extra + n_comment
    if magic != b"PK\x01\x02" or following > end:
        raise CheckpointError("the zip's table of contents is damaged")
    name = bytes(view[name_at : name_at + n_name]).decode("utf-8", "surrogateescape")
    if not is_member_name(name):
        raise CheckpointError(f"the zip has a member named {ascii(name)[:80]}, which no checkpoint has")
    if flags & 0x41:
        raise CheckpointError(f"zip member {name!a} is encrypted")
    if method not in (0, 8):
        raise CheckpointError(f"zip member {name!a} is compressed by method {method}; torch and NumPy use 0 and 8")
    if _UNKNOWN32 in (size, stored_size, header):
        extra = view[name_at + n_name : name_at + n_name + n_extra]
        size, stored_size, header = _zip64(extra, name, size, stored_size, header)
    if method == 0 and size != stored_size:
        raise CheckpointError(f"zip member {name!a} is stored in {stored_size} bytes but claims {size}")
    return Member(source, name, method, crc, stored_size, size, header), following


def _zip64(extra: memoryview, name: str, *values: int) -> list[int]:
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        body = extra[position + 4 : position + 4 + length]
        if kind == 1:
            needed = [i for i, value in enumerate(values) if value == _UNKNOWN32]
            if len(body) < 8 * len(needed):
                break
            result = list(values)
            for i, value in zip(needed, struct.unpack_from(f"<{len(needed)}Q", body), strict=True):
                result[i] = value
            return result
        position += 4 + length
    raise CheckpointError(f"zip member {name!a} needs ZIP64 sizes and has none")


def is_member_name(name: str) -> bool:
    """Return whether a member may be called so: by a path that stays where the zip is unpacked."""
    return name.isprintable() and "\\" not in name and name[:1] not in ("", "/") and ".." not in name.split("/")


def _check_layout(source: Source, members: dict[str, Member], directory: int) -> None:
    last = 0
    for member in sorted(members.values(), key=lambda m: m.header):
        if member.header < last:
            raise CheckpointError(f"zip member {member.name} overlaps another one")
        last = member.locate(directory)
    swollen = sum(m.size for m in members.values() if m.method)
    if swollen > FREE_SWELL + MAX_SWELL * source.size:
        raise CheckpointError(f"the zip's members claim to swell to {swollen} bytes from a file of {source.size}")
