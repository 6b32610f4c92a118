"""Shorthands for tests of the inspector."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec

from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.ops.inspector.board import Board
from realtime_fsm.ops.inspector.views import View
from support.brokenlogs import Record, lines_of


def flat(records: Iterable[Record]) -> list[FlatRecord]:
    return [msgspec.json.decode(line, type=FlatRecord) for line in lines_of(records)]


def board_of(*walks: Iterable[Record], **options: Any) -> Board:
    board = Board("log", **options)
    for walk in walks:
        for record in flat(walk):
            board.take(record)
    return board


def view_of(records: Iterable[Record]) -> View:
    (view,) = board_of(records).views
    return view


@asynccontextmanager
async def browsing(board: Board) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the messages to a browser, behind the two with which they begin."""
    async with aclosing(board.messages()) as messages:
        for _ in range(2):
            await anext(messages)
        yield messages


def content_of(message: bytes) -> dict[str, Any]:
    """The content of a server-sent event."""
    assert message.startswith(b"data: ")
    assert message.endswith(b"\n\n")
    told: dict[str, Any] = json.loads(message[6:])
    return told
