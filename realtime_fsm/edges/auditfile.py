"""The audit file: JSON lines that survive a rotation. When its path names another file, or none, it is opened anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from types import TracebackType


class AuditFile:
    """A file that lines are appended to, each in one write, so that several processes can share it.

    Args:
        path: the file; it is created when it does not exist.

    Raises:
        OSError: when it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._closed = False
        self._file: BinaryIO | None = self._open()

    def write(self, line: str) -> None:
        """Append a line.

        Raises:
            OSError: when the disk fails; the next line tries again.
            ValueError: when it was closed.
        """
        if self._closed:
            raise ValueError("the audit file is closed")
        if self._file is not None and self._was_moved(self._file):
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = self._open()
        self._file.write(line.encode() + b"\n")

    def close(self) -> None:
        """Close it. What is written later raises, which the audit counts and tells once."""
        self._closed = True
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        return self._path.open("ab", buffering=0)

    def _was_moved(self, file: BinaryIO) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return True
        held = os.fstat(file.fileno())
        return (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)

    # structlog calls the method of a record's level
    debug = info = warning = error = critical = msg = write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
