"""The files of an audit, and the place of each line among them."""

from __future__ import annotations

from bisect import bisect_right

from realtime_fsm.audit.report import Location


class LineNumbers:
    """Number lines through all files."""

    def __init__(self) -> None:
        self.files: list[str] = []  # their names, in order
        self.number: int = 0  # of lines so far
        self._starts: list[int] = []

    def begin(self, name: str) -> None:
        """Name the file of the next lines."""
        self._starts.append(self.number)
        self.files.append(name)

    @property
    def is_begun(self) -> bool:
        """Whether the last file has given a line."""
        return bool(self._starts) and self.number > self._starts[-1]

    def of(self, number: int) -> Location:
        """Find the file and the line of a number."""
        index = bisect_right(self._starts, number - 1) - 1
        if index < 0:
            return Location("-", number)
        return Location(self.files[index], number - self._starts[index])

    @property
    def here(self) -> Location:
        """The place of the last line."""
        return self.of(self.number)
