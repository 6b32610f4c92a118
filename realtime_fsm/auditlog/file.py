"""The audit file: JSON lines that survive a rotation. When its path names another file, or no file, it is opened anew."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import BinaryIO, Self


class AuditFile:
    """A file to append lines to, each in one write, so that several processes can share it.

    Args:
        path: the file; it is created when it does not exist.
        interval: seconds between checks that the path still names the file; a check takes as long as two writes.

    Raises:
        OSError: when the file cannot be opened.
    """

    def __init__(self, path: str | Path, interval: float = 0.1) -> None:
        self._path = Path(path)
        self._interval = interval
        self._closed = False
        self._file = self._open()

    def __call__(self, *_: object) -> Self:
        """Return the file as the logger: structlog calls its `logger_factory`."""
        return self

    def write(self, line: bytes) -> None:
        """Append a line, given without its end.

        Raises:
            OSError: when the disk fails; the next line tries again.
            ValueError: when the file is closed.
        """
        if self._closed:
            raise ValueError("the audit file is closed")
        if not self._file.closed and self._was_moved():
            self._file.close()
        if self._file.closed:
            self._file = self._open()
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Close the file. A later line raises, and the writer of the records reports the first such failure."""
        self._closed = True
        self._file.close()

    def _open(self) -> BinaryIO:
        self._checked_at = time.monotonic()
        return self._path.open("ab", buffering=0)

    def _was_moved(self) -> bool:
        now = time.monotonic()
        if now - self._checked_at < self._interval:
            return False
        self._checked_at = now
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return True

    # structlog calls the method of a record's level
    debug = write
    info = write
    warning = write
    error = write
    critical = write
    msg = write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
