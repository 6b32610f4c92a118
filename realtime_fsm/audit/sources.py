"""The lines of plain and compressed files and of standard input, and the order of several files.

Invariant: files may be named in any order. Rotation may spread a connection over several files if the lines of each file are
in order. Of two files that begin with records of one connection, the file with the lower number comes first; otherwise the
file whose first record is older. Standard input and pipes come last.
"""

from __future__ import annotations

import codecs
import sys
import tarfile
import zlib
from contextlib import suppress
from functools import partial
from importlib import import_module
from io import BufferedReader, BytesIO, RawIOBase
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord, decode_fast
from realtime_fsm.audit.framing import LineReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord

STDIN = "-"
LONGEST = 1 << 20
"""The most bytes of a line; a longer one comes in pieces."""
_BLOCK = 65_536
_PIECE = 4_096  # of a compressed file: what it unpacks to is held at once
_HEAD_LINES, _HEAD_BYTES = 2000, 1 << 20
_WITHIN = "::"  # between the name of an archive and that of a file in it
_DAMAGES = (OSError, EOFError, zlib.error, tarfile.TarError)


class Unreadable(Exception):
    """A file cannot be read, or not to its end. The text says why, without naming the file."""


def is_read_once(name: str) -> bool:
    """Tell whether a name is standard input or a pipe, of which no part can be read ahead."""
    return name == STDIN or Path(name).is_fifo()


def open_log(name: str, watch: Callable[[IO[bytes]], IO[bytes]] = lambda file: file) -> IO[bytes]:
    """Open a log; its first bytes tell the compression and the encoding.

    Args:
        name: the file's name; ``-`` for standard input. `sort_by_content` names the files in an archive.
        watch: wraps the file before it is decompressed.

    Raises:
        Unreadable: when it cannot be opened, or it is compressed and nothing here decompresses it.
    """
    if name == STDIN:
        return _plain(sys.stdin.buffer)
    archive, mark, member = name.partition(_WITHIN)
    if mark and not Path(name).exists():
        return _open_member(archive, member)
    try:
        file = Path(name).open("rb")  # noqa: SIM115  (the caller's)
    except IsADirectoryError:
        raise Unreadable("it is a directory; name the files in it") from None
    except OSError as failure:
        raise Unreadable(failure.strerror or str(failure)) from None
    return _plain(watch(file))


def is_plain(name: str) -> bool:
    """Tell whether a file is neither compressed nor in another encoding than UTF-8, or cannot be opened yet; or is a pipe."""
    if is_read_once(name):
        return True
    try:
        with Path(name).open("rb") as file:
            return not file.read(8).startswith((*_COMPRESSIONS, *_ENCODINGS))
    except OSError:
        return True


def _plain(raw: Any) -> IO[bytes]:
    """Decompress a file and bring its text to UTF-8, as its first bytes ask for it."""
    try:
        magic = raw.peek(8)[:8]
        unpack = next((begin for start, begin in _COMPRESSIONS.items() if magic.startswith(start)), None)
        if unpack is not None:
            raw = _buffered(_decompressed(raw, unpack(), magic[:2]), raw)
            magic = raw.peek(4)[:4]
        encoding = next((name for start, name in _ENCODINGS.items() if magic.startswith(start)), None)
        return cast("IO[bytes]", raw if encoding is None else _buffered(_in_utf8(raw, encoding), raw))
    except Exception as failure:
        raw.close()
        if (damage := _damage(failure)) is None:
            raise
        raise damage from None


def _zstd() -> Callable[[], Any]:
    """Choose the first module of Python that decompresses zstd."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return cast("Callable[[], Any]", import_module(module).ZstdDecompressor)
        except ImportError:
            continue
    try:
        return cast("Callable[[], Any]", import_module("zstandard").ZstdDecompressor().decompressobj)
    except ImportError:
        raise Unreadable("it is compressed with zstd: install realtime-fsm[zst] to read it") from None


def _refuse(reason: str) -> Callable[[], Any]:
    raise Unreadable(reason)


_COMPRESSIONS: dict[bytes, Callable[[], Callable[[], Any]]] = {
    b"\x1f\x8b": lambda: partial(zlib.decompressobj, 31),
    b"BZh": lambda: cast("Callable[[], Any]", import_module("bz2").BZ2Decompressor),
    b"\xfd7zXZ\0": lambda: cast("Callable[[], Any]", import_module("lzma").LZMADecompressor),
    b"\x28\xb5\x2f\xfd": _zstd,
    b"PK\x03\x04": partial(_refuse, "it is a zip archive: unpack it, and name the files in it"),
    b"7z\xbc\xaf\x27\x1c": partial(_refuse, "it is a 7z archive: unpack it, and name the files in it"),
    b"\x04\x22\x4d\x18": partial(_refuse, "it is compressed with lz4: decompress it first"),
    b"PAR1": partial(_refuse, "it is Parquet: ask it with --sql, or export it as JSON lines"),
}
"""How a file that begins so is decompressed: a function that finds the maker of a decompressor for one frame, or refuses it."""
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"{\0": "utf-16-le", b"\0{": "utf-16-be"}


class _Content(RawIOBase):
    """The content of a file, in pieces of any size; closing it closes the file."""

    def __init__(self, pieces: Iterator[bytes], below: IO[bytes]) -> None:
        self._pieces, self._below, self._ready = filter(None, pieces), below, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._ready or memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(piece))
        buffer[:count], self._ready = piece[:count], piece[count:]
        return count

    def close(self) -> None:
        super().close()
        self._below.close()


def _buffered(pieces: Iterator[bytes], below: IO[bytes]) -> BufferedReader:
    return BufferedReader(_Content(pieces, below), _BLOCK)


def _decompressed(raw: IO[bytes], begin: Callable[[], Any], magic: bytes) -> Iterator[bytes]:
    """Decompress a file frame by frame, up to the last byte that can be read. Each frame begins with the same magic bytes.

    Rubbish after a whole frame, such as the zeros of a tape or of a crash, ends the content.
    """
    frame, rest = begin(), b""
    while True:
        data = rest + raw.read(_PIECE)
        rest = b""
        if frame is None:
            data = data.lstrip(b"\0")
            if not data.startswith(magic):
                return
            frame = begin()
        if not data:
            raise EOFError("the last frame is not whole")
        yield frame.decompress(data)
        if frame.eof:
            rest, frame = frame.unused_data, None


def _in_utf8(raw: IO[bytes], encoding: str) -> Iterator[bytes]:
    decode = codecs.getincrementaldecoder(encoding)("replace").decode
    while data := raw.read(_PIECE):
        yield decode(data).encode()
    yield decode(b"", True).encode()


def _members(name: str) -> list[str]:
    """Name the files of an archive (.tar, .tgz and the like); any other file is its own only one."""
    try:
        with open_log(name) as file:
            if cast("Any", file).peek(512)[257:262] != b"ustar":
                return [name]
            with tarfile.open(fileobj=file, mode="r|") as archive:
                return [f"{name}{_WITHIN}{member.name}" for member in archive if member.isfile()]
    except (Unreadable, *_DAMAGES):
        return [name]  # the audit reports it


def _open_member(name: str, member: str) -> IO[bytes]:
    file = open_log(name)
    try:
        archive = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115  (closed with its member)
        found = next((each for each in archive if each.name == member), None)
        content = None if found is None else archive.extractfile(found)
        if content is None:
            raise Unreadable("the archive has no such file")
        return _plain(_buffered(iter(partial(content.read, _BLOCK), b""), file))
    except _DAMAGES as failure:
        file.close()
        raise Unreadable(f"it is damaged or cut: {failure}") from None


def _damage(failure: Exception) -> Unreadable | None:
    """Tell what is damaged; None for a failure that is a defect of this program."""
    is_damage = isinstance(failure, _DAMAGES) or type(failure).__name__ in ("ZstdError", "LZMAError")
    return Unreadable(f"it is damaged or cut: {failure}") if is_damage else None


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
    except Exception as failure:
        if (damage := _damage(failure)) is None:
            raise
        if rest:
            yield rest
        raise damage from None
    if rest:
        yield rest


def split_lines(block: bytes) -> list[bytes]:
    """Split a block into lines, each with its end."""
    return BytesIO(block).readlines()


def read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Read the lines of a file, as `read_blocks` does."""
    return chain.from_iterable(map(split_lines, read_blocks(file)))


def _records(
    name: str, renamed: Mapping[str, str] | None, some: Callable[[Iterable[bytes]], Iterable[bytes]] = iter
) -> Iterator[FlatRecord | BadRecord]:
    """Read the records, whole or broken, of some lines of a file, as far as it can be read: the audit reports the rest."""
    reader = LineReader(renamed)
    with suppress(Unreadable), open_log(name) as file:
        for line in some(read_lines(file)):
            try:
                yield decode_fast(line)
            except ValueError:
                for _, made in reader.read(line):
                    if made is not None:
                        yield made.line if isinstance(made, ExtendedRecord) else made


def _head_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    read = 0
    for line in islice(lines, _HEAD_LINES):
        read += len(line)
        if read > _HEAD_BYTES:
            return
        yield line


class _Head:
    """The beginning of a file: the first moment, and the first number of each connection."""

    def __init__(self, name: str, renamed: Mapping[str, str] | None) -> None:
        self.name = name
        self.moment: datetime | None = None
        self.numbers: dict[str, int] = {}
        for record in _records(name, renamed, _head_lines):
            if record.connection_id is not None and record.seq is not None:
                self.moment = self.moment or record.timestamp
                self.numbers.setdefault(record.connection_id, record.seq)

    def comes_before(self, other: _Head) -> bool:
        """Whether the numbers of a connection put this file before another one."""
        return any(seq < other.numbers.get(connection, 0) for connection, seq in self.numbers.items())


def holds_record(files: Iterable[str], only: Collection[str] = (), renamed: Mapping[str, str] | None = None) -> bool:
    """Tell whether logs hold a record that can be shown.

    Args:
        files: the names of the files; a file that cannot be read counts to its last good line.
        only: the beginnings of the ids of the connections; empty for all.
        renamed: the keys of fields that the logs rename, by the field.
    """
    records = (record for name in files for record in _records(name, renamed))
    whole = (record.connection_id or "" for record in records if not isinstance(record, BadRecord) or record.rule == "schema")
    return any(identifier.startswith(tuple(only) or "") for identifier in whole)


def newest_moment(files: Iterable[str], renamed: Mapping[str, str] | None = None) -> datetime | None:
    """Find the newest moment of logs; None where no record tells one.

    Args:
        files: the names of the files; a file that cannot be read counts to its last good line.
        renamed: the keys of fields that the logs rename, by the field.
    """
    moments = (record.timestamp for name in files for record in _records(name, renamed))
    return max((moment for moment in moments if moment is not None), default=None)


def sort_by_content(names: Iterable[str], renamed: Mapping[str, str] | None = None) -> list[str]:
    """Sort the names of files by their content, each once.

    Args:
        names: the names. Each file in an archive gets a name of its own.
        renamed: the keys of fields that the logs rename, by the field.
    """
    given = list(dict.fromkeys(each for name in names for each in ([name] if is_read_once(name) else _members(name))))
    if len(given) < 2:
        return given
    streams = [name for name in given if is_read_once(name)]
    heads = [_Head(name, renamed) for name in given if name not in streams]
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
    return order + streams
