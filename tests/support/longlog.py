"""A long log of many connections at once, as users of an application make it; by the real client, in virtual time.

A handful of lives is lived out in full; the log repeats them under new names and at other times, mixed as time mixes them. So it
is conformant, and its mix of records is that of the lives: heartbeats each 30 seconds, another page (one subscription goes,
another one comes) every ten minutes, a lost link every two hours.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_origin

import msgspec
import structlog
from msgspec.structs import fields

from realtime_fsm import State
from realtime_fsm.auditlog.records import RECORDS
from support.network import Network
from support.virtual import eventually, run

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
PAGE, LOSS = 600.0, 7200.0
"""Seconds from page to page and from loss to loss, on average."""
_NAME, _STAMP = "n" * 32, "2000-01-01T00:00:00.000000Z"
_FIELDS = {field.name: str if get_origin(field.type) is Literal else field.type for kind in RECORDS for field in fields(kind)}
Flat = msgspec.defstruct("Flat", [("event", str), *((name, kind, None) for name, kind in _FIELDS.items()), ("level", str, "")])
"""The result of a plain decode of the lines: a Struct with all fields of the records, in their types."""


class Piece(NamedTuple):
    """A record without its name and moment: the time in its life, and what stands before, between and after the two."""

    at: float
    head: bytes
    middle: bytes
    tail: bytes


def live(seed: int, hours: float) -> list[Piece]:
    """Make the records of one connection.

    Args:
        seed: decides when what happens.
        hours: how long it is.
    """
    dice = random.Random(seed)
    pieces: list[Piece] = []

    def take(_: object, level: str, record: Any) -> Any:
        begun = {**record, "level": level, "connection_id": _NAME, "timestamp": _STAMP}
        head, rest = msgspec.json.encode(begun).split(_NAME.encode())
        middle, tail = rest.split(_STAMP.encode())
        pieces.append(Piece(asyncio.get_running_loop().time(), head, middle, tail + b"\n"))
        raise structlog.DropEvent

    async def main() -> None:
        network = Network()
        loop = asyncio.get_running_loop()
        async with network.realtime() as realtime:
            pages = [await realtime.subscribe(f"page{number}") for number in range(4)]
            end = loop.time() + 3600 * hours
            while loop.time() < end:
                await asyncio.sleep(dice.expovariate(1 / PAGE + 1 / LOSS))
                if dice.random() < PAGE / (PAGE + LOSS):
                    network.socket.cut()
                    await eventually(lambda: realtime.state is State.SUBSCRIBED)
                else:
                    await pages.pop(0).unsubscribe()
                    pages.append(await realtime.subscribe(f"page{dice.random()}"))

    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[take], cache_logger_on_first_use=False)
    try:
        run(main)
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)
    return pieces


def lines(connections: int, lives: list[list[Piece]]) -> Iterator[bytes]:
    """The lines of a log without an end.

    Args:
        connections: how many there are at any time; when one is disposed of, another one begins.
        lives: what they live.
    """
    stamps = _Stamps()
    for at, _, name, piece in heapq.merge(*(_context(number, lives) for number in range(connections))):
        yield b"%b%b%b%b%b" % (piece.head, name, piece.middle, stamps.at(at), piece.tail)


def _context(number: int, lives: list[list[Piece]]) -> Iterator[tuple[float, int, bytes, Piece]]:
    """The connections of one user, one after the other."""
    dice = random.Random(number)
    start = dice.uniform(0, 60)
    for turn in count():
        life = dice.choice(lives)
        name = b"%016x%016x" % (turn, number)
        for piece in life:
            yield start + piece.at - life[0].at, number, name, piece
        start += life[-1].at - life[0].at + dice.uniform(1, 60)


class _Stamps:
    """Timestamps as text; the text of each second is made once."""

    def __init__(self) -> None:
        self._second, self._words = -1, b""

    def at(self, seconds: float) -> bytes:
        second = int(seconds)
        if second != self._second:
            self._second, self._words = second, f"{BEGIN + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}".encode()
        return b"%b.%06dZ" % (self._words, (seconds - second) * 1_000_000)


def write(path: Path, size: int, *, connections: int = 1000, plots: int = 12) -> int:
    """Write a log.

    Args:
        path: where.
        size: of the file, in bytes, at least.
        connections: how many there are at any time.
        plots: how many lives differ.

    Returns:
        How many lines it has.
    """
    lives = [live(seed, hours=0.5 + seed / 2) for seed in range(plots)]
    written = number = 0
    with path.open("wb", buffering=1 << 20) as file:
        for number, line in enumerate(lines(connections, lives), 1):  # noqa: B007  (it is returned)
            written += file.write(line)
            if written >= size:
                break
    return number
