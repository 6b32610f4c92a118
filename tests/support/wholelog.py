"""A log without a fault, and the ways to break it by hand."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

from realtime_fsm.fsm.inputs import Dispose, Pong, Unsubscribe
from realtime_fsm.fsm.table import State
from support.bench import Bench
from support.brokenlogs import BEGIN, Record, Scribe, collected, lines_of


def whole() -> list[Record]:
    """A log without a fault: up, subscribed, a ping and its pong, a loss, up again, disposed of."""
    with collected() as records:
        bench = Bench()
        scribe = Scribe(bench, "c1")
        bench.to(State.SUBSCRIBED)
        bench.expire_until("sub64")
        bench.now += 0.1
        bench.hear(Pong(bench.generation))
        bench.lose()
        bench.expire()
        bench.open()
        bench.greet()
        bench.acknowledge()
        bench.do(Unsubscribe("s1"))
        bench.acknowledge()
        bench.do(Dispose(), after=1.0)
        scribe.audit.closed()
    for second, record in enumerate(records):
        record["timestamp"] = (BEGIN + timedelta(seconds=second)).isoformat()
    return records


RECORDS = whole()


def at(row: str, nth: int = 0) -> int:
    """The index of the record of a row."""
    return [index for index, record in enumerate(RECORDS) if record.get("row") == row][nth]


def kind(event: str, nth: int = 0) -> int:
    return [index for index, record in enumerate(RECORDS) if record["event"] == f"realtime.{event}"][nth]


def edited(index: int, **fields: Any) -> list[bytes]:
    return lines_of([*RECORDS[:index], {**RECORDS[index], **fields}, *RECORDS[index + 1 :]])


def without(index: int) -> list[bytes]:
    return lines_of([*RECORDS[:index], *RECORDS[index + 1 :]])


def spliced(index: int, *lines: bytes) -> list[bytes]:
    whole = lines_of(RECORDS)
    return [*whole[:index], *lines, *whole[index:]]


def renumbered(records: list[Record]) -> list[bytes]:
    return lines_of([{**record, "seq": number} for number, record in enumerate(records, 1)])


def swapped(index: int) -> list[bytes]:
    lines = lines_of(RECORDS)
    lines[index], lines[index + 1] = lines[index + 1], lines[index]
    return lines


def moved(lines: list[bytes], index: int, places: int) -> list[bytes]:
    """A line so many places later, or earlier."""
    rest = [*lines[:index], *lines[index + 1 :]]
    there = max(0, index + places)
    return [*rest[:there], lines[index], *rest[there:]]


def moved_on(records: list[Record], seconds: float) -> list[Record]:
    """The same records, with the machine's clock so many seconds later."""
    return [{**record, "at": record["at"] + seconds} if "at" in record else record for record in records]


def shifted(index: int, seconds: float) -> list[bytes]:
    """One dwell altered, with all later moments."""
    records = moved_on(RECORDS[index:], seconds)
    return lines_of([*RECORDS[:index], {**records[0], "dwell": RECORDS[index]["dwell"] + seconds}, *records[1:]])


def renamed(name: str, records: list[Record] | None = None) -> list[bytes]:
    """The same log, or another one, of another connection."""
    return lines_of([{**record, "connection_id": name} for record in records or RECORDS])


def write(path: Path, lines: list[bytes]) -> str:
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


LOSS, DIAL, PONG, PING, BACK = at("sub58"), at("rec32"), at("pin42"), at("sub64"), at("con40", 1)
FIRST_UP, END = at("rec22"), at("uns14")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
OPEN = RECORDS[0]
CLOSE = len(RECORDS) - 1
LINES = lines_of(RECORDS)
