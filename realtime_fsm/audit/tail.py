"""Tail: the lines of a file that grows, as `tail -F` gives them: through rotation, truncation and its being away for a while."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAUSE = 0.25
"""Seconds between looks."""


class Tail:
    """Follows one file, from its beginning on.

    A line is given when it is whole. When the file is replaced (rotation) the old one is read to its end first; when it becomes
    shorter (truncation) it is read from its beginning.

    Args:
        name: the file's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._file: IO[bytes] | None = None
        self._begun = b""

    def poll(self) -> Iterator[bytes]:
        """The lines that have become whole since the last time."""
        if self._file is None and not self._open():
            return
        yield from self._read()
        if self._is_replaced():
            yield from self._read()
            self.close()
            if self._begun:  # what the old file ended with will not become whole any more
                yield self._begun
                self._begun = b""
            if self._open():
                yield from self._read()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = Path(self.name).open("rb")  # noqa: SIM115  (held until it is replaced)
        except OSError:
            return False
        return True

    def _read(self) -> Iterator[bytes]:
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._begun = b""
        while piece := self._file.readline():
            self._begun += piece
            if self._begun.endswith(b"\n"):
                line, self._begun = self._begun, b""
                yield line

    def _is_replaced(self) -> bool:
        assert self._file is not None
        try:
            now = Path(self.name).stat()
        except OSError:
            return False
        held = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)


def follow_files(
    names: list[str], feed: Callable[[str, Iterator[bytes]], None], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Feed the lines of growing files, until interrupted.

    Args:
        names: the files; one that is not there is waited for.
        feed: takes the lines that have come, by the file's name.
        sleep: waits.
    """
    tails = [Tail(name) for name in names]
    try:
        while True:
            for tail in tails:
                feed(tail.name, tail.poll())
            sleep(PAUSE)
    finally:
        for tail in tails:
            tail.close()
