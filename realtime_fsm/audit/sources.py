"""The lines of plain and compressed files and of standard input, and the order of several files.

Invariant: files may be named in any order. Rotation may spread a connection over several files if the lines of each file are
in order. Of two files that begin with records of one connection, the file with the lower number comes first; otherwise the
file whose first record is older. Standard input comes last.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from importlib import import_module
from io import BufferedReader, BytesIO, RawIOBase
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord, decode_unusual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

STDIN = "-"
LONGEST = 1 << 20
"""The size in bytes above which a line is no text."""
_BLOCK = 1 << 16
_PIECE = 1 << 12  # of a compressed file: what it unpacks to is held at once
_HEAD_LINES, _HEAD_BYTES = 2000, 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Unreadable(Exception):
    """A file cannot be read, or not to its end. The text says why, without naming the file."""


def open_log(name: str, watch: Callable[[IO[bytes]], IO[bytes]] = lambda file: file) -> IO[bytes]:
    """Open a log; its first bytes tell the compression.

    Args:
        name: the file's name; ``-`` for standard input.
        watch: wraps the file before it is decompressed.

    Raises:
        Unreadable: when it cannot be opened, or it is compressed and nothing here decompresses it.
    """
    if name == STDIN:
        raw = cast("IO[bytes]", sys.stdin.buffer)
        magic = cast("Any", sys.stdin.buffer).peek(4)[:4]
    else:
        try:
            file = Path(name).open("rb")  # noqa: SIM115  (the caller's)
        except OSError as failure:
            raise Unreadable(failure.strerror or str(failure)) from None
        try:
            magic = file.peek(4)[:4]
        except OSError as failure:
            file.close()
            raise Unreadable(failure.strerror or str(failure)) from None
        raw = watch(file)
    if magic.startswith(_GZIP):
        return _unpacked(gzip.GzipFile(fileobj=raw), raw)
    if magic == _ZSTD:
        return _zstd(raw)
    return raw


class _Unpacked(BufferedReader):
    """A decompressed file; closing it closes the compressed file, which decompressors leave open."""

    below: IO[bytes] | None = None

    def close(self) -> None:
        super().close()
        if self.below is not None:
            self.below.close()


def _unpacked(reader: Any, raw: IO[bytes]) -> IO[bytes]:
    unpacked = _Unpacked(reader, 1 << 16)
    unpacked.below = raw
    return cast("IO[bytes]", unpacked)


def _zstd(raw: IO[bytes]) -> IO[bytes]:
    """Open a .zst with the first module of Python that decompresses it."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return _unpacked(import_module(module).ZstdFile(raw), raw)
        except ImportError:
            continue
    try:
        decompressor = import_module("zstandard").ZstdDecompressor()
    except ImportError:
        raw.close()
        raise Unreadable("it is compressed with zstd: install realtime-fsm[zst] to read it") from None
    return _unpacked(_Frames(raw, decompressor.decompressobj), raw)


class _Frames(RawIOBase):
    """The frames of a .zst, by `zstandard`, whose own reader does not notice a cut last frame.

    Args:
        raw: the file.
        begin: makes the decompressor of a frame.
    """

    def __init__(self, raw: IO[bytes], begin: Callable[[], Any]) -> None:
        self._raw, self._begin = raw, begin
        self._frame: Any = None
        self._rest = self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._rest or self._raw.read(_PIECE)
            if not data:
                if self._frame is not None:
                    raise EOFError("the last frame is not whole")
                return 0
            self._frame = self._frame or self._begin()
            self._ready, self._rest = self._frame.decompress(data), b""
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Read whole lines, many at a time. A line longer than any record comes in pieces, so that it does not fill the memory.

    Raises:
        Unreadable: when it cannot be read to its end.
    """
    rest = b""
    try:
        while data := cast("BufferedReader", file).read1(_BLOCK):
            end = data.rfind(b"\n") + 1
            if end:
                yield rest + data[:end]
                rest = data[end:]
            else:
                rest += data
            if len(rest) >= LONGEST:
                yield rest
                rest = b""
    except (OSError, EOFError, zlib.error) as failure:
        raise Unreadable(f"it is damaged or cut: {failure}") from None
    except Exception as failure:
        if type(failure).__name__ != "ZstdError":
            raise
        raise Unreadable(f"it is damaged or cut: {failure}") from None
    if rest:
        yield rest


def split_lines(block: bytes) -> list[bytes]:
    """Split a block into lines, each with its end."""
    return BytesIO(block).readlines()


def read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Read the lines of a file, as `read_blocks` does."""
    return chain.from_iterable(map(split_lines, read_blocks(file)))


class _Head:
    """The beginning of a file: the first moment, and the first number of each connection."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.moment: datetime | None = None
        self.numbers: dict[str, int] = {}
        try:
            with open_log(name) as file:
                self._read(read_lines(file))
        except Unreadable:
            pass  # the audit reports it

    def _read(self, lines: Iterable[bytes]) -> None:
        read = 0
        for count, line in enumerate(lines):
            read += len(line)
            if count >= _HEAD_LINES or read > _HEAD_BYTES:
                return
            made = decode_unusual(line)
            if isinstance(made, ExtendedRecord):
                self._note(made.line.connection_id, made.line.seq, made.line.timestamp)
            elif isinstance(made, BadRecord) and made.connection_id is not None and made.seq is not None:
                self._note(made.connection_id, made.seq, made.timestamp)

    def _note(self, connection: str, seq: int, moment: datetime | None) -> None:
        self.moment = self.moment or moment
        self.numbers.setdefault(connection, seq)

    def comes_before(self, other: _Head) -> bool:
        """Whether the numbers of a connection put this file before another one."""
        return any(seq < other.numbers.get(connection, 0) for connection, seq in self.numbers.items())


def sort_by_content(names: Iterable[str]) -> list[str]:
    """Sort the names of files by their content, each once."""
    given = list(dict.fromkeys(names))
    if len(given) < 2:
        return given
    heads = [_Head(name) for name in given if name != STDIN]
    waits = {head.name: {other.name for other in heads if other is not head and other.comes_before(head)} for head in heads}
    ranks = {head.name: (0.0 if head.moment is None else head.moment.timestamp(), head.name) for head in heads}
    order: list[str] = []
    while waits:
        free = [name for name, before in waits.items() if not before] or list(waits)
        name = min(free, key=lambda name: ranks[name])
        order.append(name)
        del waits[name]
        for before in waits.values():
            before.discard(name)
    return order + [STDIN] * (STDIN in given)
