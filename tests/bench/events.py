"""Build Appwrite's events in four sizes, in the form of its PHP code.

An account's event has 6 names and 4 channels, a file's 10 and 6, a row's 64 and 16, as in the recording
tests/recordings/05-events-real-emitter.jsonl. The payload fills each event up to its size. Events of one size differ only in
their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from realtime_fsm.testing.wire import encode

SIZES = {"0.4 KB": 400, "1.3 KB": 1_300, "10 KB": 10_000, "200 KB": 200_000}
"""Bytes of the JSON text."""
FIRST = 100_000
"""The number of the first event; all numbers have as many digits."""
_STAMP = "2026-11-23T16:25:04.774+00:00"
_USER = "alice"
_BUCKET, _FILE, _DATABASE, _TABLE, _ROW = (f"6b046915039e30123c2{n}" for n in range(5))
_COMMON = {"$createdAt": _STAMP, "$updatedAt": _STAMP, "$permissions": ['read("any")', f'update("user:{_USER}")']}

# The ids (database, table, row) in an event's name; the others are "*". The order is the server's.
_ROWS = ("dtr", "", "dr", "r", "tr", "dt", "t", "d")
_TABLES = ("dt", "", "d", "t")
_FAMILIES = ("tablesdb.{}.tables.{}.rows.{}", "databases.{}.collections.{}.documents.{}", "databases.{}.tables.{}.rows.{}")


def row_names(database: str, table: str, row: str, action: str) -> list[str]:
    """Return the 64 names of a row's event."""

    def expand(letters: Iterable[str]) -> list[str]:
        chosen = ((database if "d" in s else "*", table if "t" in s else "*", row if "r" in s else "*") for s in letters)
        return [family.format(*one) for one in chosen for family in _FAMILIES]

    rows, tables = expand(_ROWS), [name.rsplit(".", 2)[0] for name in expand(_TABLES)]
    tops = [f"{kind}.{one}" for one in (database, "*") for kind in ("tablesdb", "databases")]
    return [*(f"{name}.{action}" for name in rows), *rows, *tables, *tops]


def row_channels(database: str, table: str, row: str, action: str) -> list[str]:
    """Return the 16 channels of a row."""
    old, new = f"databases.{database}.collections.{table}.documents", f"databases.{database}.tables.{table}.rows"
    tables = f"tablesdb.{database}.tables.{table}.rows"
    channels = ["documents", old, f"{old}.{row}", "rows", new, f"{new}.{row}", tables, f"{tables}.{row}"]
    return channels + [f"{channel}.{action}" for channel in channels]


def _account_event() -> tuple[list[str], list[str], dict[str, Any]]:
    names = [f"users.{user}{part}" for part in (".update", ".update.name", "") for user in (_USER, "*")]
    channels = ["account", f"account.{_USER}", "account.update", f"account.{_USER}.update"]
    return names, channels, {"$id": _USER, "name": "New"}


def _file() -> tuple[list[str], list[str], dict[str, Any]]:
    pairs = ((_BUCKET, _FILE), ("*", "*"), (_BUCKET, "*"), ("*", _FILE))
    files = [f"buckets.{bucket}.files.{file}" for bucket, file in pairs]
    names = [*(f"{name}.create" for name in files), *files, f"buckets.{_BUCKET}", "buckets.*"]
    channels = ["files", f"buckets.{_BUCKET}.files", f"buckets.{_BUCKET}.files.{_FILE}"]
    payload = {"$id": _FILE, "bucketId": _BUCKET, **_COMMON, "name": "report.pdf", "sizeOriginal": 48_213, "chunksTotal": 1}
    return names, channels + [f"{channel}.create" for channel in channels], payload


def _row() -> tuple[list[str], list[str], dict[str, Any]]:
    payload = {"$id": _ROW, "$databaseId": _DATABASE, "$tableId": _TABLE, **_COMMON, "customer": "Zoë Müller", "paid": False}
    return row_names(_DATABASE, _TABLE, _ROW, "update"), row_channels(_DATABASE, _TABLE, _ROW, "update"), payload


_KINDS = {400: _account_event, 1_300: _file, 10_000: _row, 200_000: _row}


def _related(number: int) -> dict[str, Any]:
    """Build a related row, the only kind of row inside another one."""
    own = {"$id": f"6b046915039e{number:08d}", "$sequence": str(number), "$databaseId": _DATABASE, "$tableId": _TABLE}
    return {**own, **_COMMON, "title": "Desk lamp, brass", "count": number % 7 + 1, "price": number % 90 + 0.95, "gift": None}


def _filled(payload: dict[str, Any], room: int) -> dict[str, Any]:
    """Fill a payload with fields that take exactly `room` bytes."""
    if room > 2_000:
        lines: list[dict[str, Any]] = []
        left = room - 500
        for line in map(_related, itertools.count()):
            left -= len(encode(line)) + 1
            if left < 0:
                break
            lines.append(line)
        payload, room = {**payload, "lines": lines}, room - len(encode({"lines": lines})) + 1
    spare = room - len(encode({"note": ""})) + 1
    return {**payload, "note": ("as discussed on the phone; " * (spare // 27 + 1))[:spare]}


@cache
def _pattern(size: int) -> bytes:
    """Build the text of the first event, for a subscription ``s1``."""
    names, channels, payload = _KINDS[size]()
    tail = {"n": FIRST}
    bare = {"events": names, "channels": channels, "timestamp": _STAMP, "payload": payload | tail, "subscriptions": ["s1"]}
    room = size - len(encode({"type": "event", "data": bare}))
    return encode({**bare, "payload": _filled(payload, room) | tail})


def event(size: int, number: int, ids: Sequence[str]) -> bytes:
    """Return the text under ``data`` in the frame of an event.

    Args:
        size: bytes of the frame's text with one id of two characters.
        number: the number of the event; the payload holds ``FIRST + number`` as ``n``.
        ids: the matching subscriptions.
    """
    head, _, _ = _pattern(size).rpartition(b"%d}" % FIRST)
    return b'%b%d},"subscriptions":%b}' % (head, FIRST + number, encode(ids))


def distinct(size: int) -> int:
    """Return the number of different events of a size."""
    return max(8, 500_000 // size)
