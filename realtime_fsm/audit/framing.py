"""Lines that hold several records, and records that a container runtime has split over several lines.

Design: both are rare, so only a line that the strict decoder refuses comes here. The reader of shapes gets one record a line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.audit.shapes import MARK, Shapes, decode_first

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord

    Piece = tuple[bytes, ExtendedRecord | BadRecord | None]
    """A line with one record, and the record; a broken record; or None for another line."""

LONGEST = 1 << 20
"""The most bytes of a record that is joined from its parts."""
_CRI = re.compile(rb"(\d{4}-\d\d-\d\dT\S+ (stdout|stderr) )([PF])((?::\S*)? )")


class LineReader:
    """Reads the lines that the strict decoder refuses.

    Args:
        names: the keys of fields that the log renames, by the field.

    Attributes:
        surplus: how many records more the lines have than one each.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.surplus: int = 0
        self._shapes = Shapes(names)
        self._parts: dict[bytes, bytes] = {}  # of a split line, by its stream

    def read(self, line: bytes) -> Iterator[Piece]:
        """Read a line; a part of a split record gives nothing until its last part comes."""
        return map(self._shapes.read, self.pieces(line))

    def flush(self) -> Iterator[Piece]:
        """Read the records whose last part never came."""
        parts, self._parts = self._parts.values(), {}
        self.surplus += len(parts)
        return map(self._shapes.read, parts)

    def explain(self, line: bytes) -> str:
        """Explain why a line that names an event of this library is no record."""
        return self._shapes.explain(line)

    def pieces(self, line: bytes) -> list[bytes]:
        """Join or split a line, into lines with one record each: mostly the line itself."""
        if (found := _CRI.match(line)) is not None:
            joined = self._join(line, found)
            if joined is None:
                self.surplus -= 1
                return []
            line = joined
        if line.count(MARK) < 2:
            return [line]
        pieces = [piece for piece in _split(line) if MARK in piece]
        if len(pieces) < 2:
            return [line]
        self.surplus += len(pieces) - 1
        return pieces

    def _join(self, line: bytes, found: re.Match[bytes]) -> bytes | None:
        head, stream, flag, tag = found.groups()
        before = self._parts.pop(stream, None)
        whole = line if before is None else before + line[found.end() :]
        if flag == b"F":
            return whole
        if before is None:
            whole = head + b"F" + tag + line[found.end() :]
        if len(whole) > LONGEST:
            return whole
        self._parts[stream] = whole.removesuffix(b"\n").removesuffix(b"\r")
        return None


def _split(line: bytes) -> Iterator[bytes]:
    """Split a line into the values that stand one behind the other, and lists and texts of several lines into their parts."""
    text = line.decode(errors="replace")
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decode_first(text, start)
        except (ValueError, RecursionError):
            yield text[start:].encode()
            return
        yield from _parts(value)
        start = text.find("{", end)
        if text[end : start if start >= 0 else len(text)].strip(" \t\r\n,;"):
            yield text[end:].encode()
            return


def _parts(value: Any) -> Iterator[bytes]:
    lists = [value] if isinstance(value, list) else []
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list) and len(inner) > 1]
        texts = [text for text in value.values() if isinstance(text, str) and text.count("realtime.") > 1]
        lists += [rows for text in texts if len(rows := text.splitlines()) > 1]
    if not lists:
        yield msgspec.json.encode(value) + b"\n"
    for inner in lists:
        for each in inner:
            yield (each.encode() if isinstance(each, str) else msgspec.json.encode(each)) + b"\n"
