"""Places: which line of which file a line is, when lines are numbered through."""

from __future__ import annotations

from bisect import bisect_right

from realtime_fsm.audit.report import Location


class LineNumbers:
    """The files that were begun, and the line under way.

    Attributes:
        files: their names, in order.
        number: how many lines there were in all of them.
    """

    __slots__ = ("_starts", "files", "number")

    def __init__(self) -> None:
        self.files: list[str] = []
        self.number = 0
        self._starts: list[int] = []

    def begin(self, name: str) -> None:
        """The lines of a file come next."""
        self._starts.append(self.number)
        self.files.append(name)

    def of(self, number: int) -> Location:
        """Where a line stands, of all lines numbered through."""
        index = bisect_right(self._starts, number - 1) - 1
        if index < 0:
            return Location("-", number)
        return Location(self.files[index], number - self._starts[index])

    @property
    def here(self) -> Location:
        """The last line."""
        return self.of(self.number)
