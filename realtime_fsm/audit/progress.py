"""A progress bar for long files, on a terminal only."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

LONG = 8 << 20
"""Bytes from which on a bar is shown."""
_WIDTH, _PAUSE = 32, 0.1


class Progress:
    """Show how much of all files is read, if `out` is a terminal."""

    def __init__(self, names: Iterable[str], out: TextIO) -> None:
        self._out = out
        self._total = sum(path.stat().st_size for path in map(Path, names) if path.is_file())
        self._shown = out.isatty() and self._total >= LONG
        self._done = 0
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=self._out, flush=True)

    def watch(self, file: IO[bytes]) -> IO[bytes]:
        """Count what is read of a file."""
        return cast("IO[bytes]", io.BufferedReader(cast("Any", _Counted(file, self)), 1 << 18)) if self._shown else file

    def add(self, count: int) -> None:
        """Add bytes that have been read."""
        self._done += count
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _PAUSE
        share = min(1.0, self._done / self._total)
        bar = "#" * round(share * _WIDTH)
        print(f"\rauditing [{bar:<{_WIDTH}}] {share:4.0%} of {self._total >> 20} MB", end="", file=self._out, flush=True)


class _Counted(io.RawIOBase):
    """A file that tells how much of it is read."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress = file, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._progress.add(len(data))
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
