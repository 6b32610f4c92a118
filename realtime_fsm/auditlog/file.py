"""The audit file: JSON lines that survive a rotation. When its path names another file, or none, it is opened anew."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from types import TracebackType


class AuditFile:
    """A file that lines are appended to, each in one write, so that several processes can share it.

    Args:
        path: the file; it is created when it does not exist.
        interval: seconds from look to look whether the path still names it; a look takes as long as two writes.

    Raises:
        OSError: when it cannot be opened.
    """

    def __init__(self, path: str | Path, interval: float = 0.1) -> None:
        self._path = Path(path)
        self._interval = interval
        self._closed = False
        self._file: BinaryIO | None = self._open()

    def __call__(self, *_: object) -> Self:
        """It is its own factory of loggers, as structlog has them."""
        return self

    def write(self, line: bytes) -> None:
        """Append a line; it is given without its end.

        Raises:
            OSError: when the disk fails; the next line tries again.
            ValueError: when it was closed.
        """
        if self._closed:
            raise ValueError("the audit file is closed")
        if self._file is not None and self._was_moved():
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = self._open()
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Close it. What is written later raises, which the audit counts and tells once."""
        self._closed = True
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        file = self._path.open("ab", buffering=0)
        held = os.fstat(file.fileno())
        self._inode, self._device = held.st_ino, held.st_dev
        self._looked = time.monotonic()
        return file

    def _was_moved(self) -> bool:
        now = time.monotonic()
        if now - self._looked < self._interval:
            return False
        self._looked = now
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return True
        return named.st_ino != self._inode or named.st_dev != self._device

    # structlog calls the method of a record's level
    debug = info = warning = error = critical = msg = write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
