"""Read the records of lines in whichever shape a log has them: none, one or several of each line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.framing import Framing
from realtime_fsm.audit.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord

    Piece = tuple[bytes, ExtendedRecord | BadRecord | None]
    """A line with one record, and the record; a broken record; or None for another line."""


class LineReader:
    """Reads the lines that the strict decoder refuses.

    Args:
        names: the keys of fields that the log renames, by the field.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._shapes, self._framing = Shapes(names), Framing()

    @property
    def surplus(self) -> int:
        """How many records more the lines have than one each."""
        return self._framing.surplus

    def read(self, line: bytes) -> Iterator[Piece]:
        """Read a line; a part of a split record gives nothing until its last part comes."""
        return map(self._shapes.read, self._framing.pieces(line))

    def flush(self) -> Iterator[Piece]:
        """Read the records whose last part never came."""
        return map(self._shapes.read, self._framing.flush())

    def explain(self, line: bytes) -> str:
        """Explain why a line that names an event of this library is no record."""
        return self._shapes.explain(line)
