"""The lines of a growing file, as `tail -F` gives them: through rotation, truncation and absence."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from realtime_fsm.audit.sources import is_plain
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PAUSE = 0.25
"""Seconds between looks."""


class Tail:
    """Follow one file from its beginning.

    A line comes when it is whole. After a rotation the rest of the old file comes first; after a truncation the file is read
    anew.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._file: IO[bytes] | None = None
        self._begun = b""

    def poll(self) -> Iterator[bytes]:
        """Read the lines that have become whole since the last call."""
        if self._file is None and not self._open():
            return
        yield from self._read()
        if self._is_replaced():
            yield from self._read()
            self.close()
            if self._begun:  # the last line of the old file stays as it is
                yield self._begun
                self._begun = b""
            if self._open():
                yield from self._read()

    def close(self) -> None:
        """Close the file."""
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


def refuse_packed(option: str, names: Iterable[str]) -> None:
    """Refuse files that do not grow line by line; the user gave an option to follow them.

    Raises:
        BadOption: for a file that is compressed, or in another encoding than UTF-8.
    """
    for name in names:
        if not is_plain(name):
            raise BadOption(option, f"{name} is compressed, or not in UTF-8; read it without {option}")


def find_problem(name: str) -> str:
    """Find the reason for which a file cannot be opened yet; return an empty text for one that can."""
    try:
        Path(name).stat()
    except OSError as failure:
        return failure.strerror or str(failure)
    return "" if os.access(name, os.R_OK) else os.strerror(errno.EACCES)


def follow_files(
    names: list[str], feed: Callable[[str, Iterator[bytes]], None], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Feed the name and the new lines of each growing file, until interrupted. A missing file may appear later."""
    tails = [Tail(name) for name in names]
    try:
        while True:
            for tail in tails:
                feed(tail.name, tail.poll())
            sleep(PAUSE)
    finally:
        for tail in tails:
            tail.close()
