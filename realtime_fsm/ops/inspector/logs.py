"""Read whole or growing logs into a board, in each shape that the audit reads."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing, suppress
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.decoding import ExtendedRecord, FlatRecord, decode_fast
from realtime_fsm.audit.framing import LineReader
from realtime_fsm.audit.sources import Unreadable, open_log, read_blocks, sort_by_content, split_lines
from realtime_fsm.audit.tail import PAUSE, Tail
from realtime_fsm.client.threads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from realtime_fsm.ops.inspector.board import Board

_LINES = 200  # at once, between other work of the loop


class LogReader:
    """Reads logs into a board; ``names`` are the keys of fields that the logs rename, by the field."""

    def __init__(self, board: Board, names: Mapping[str, str] | None = None) -> None:
        self._board, self._names = board, names
        self._reader = LineReader(names)

    async def read(self, files: Iterable[str]) -> None:
        """Read files to their ends, in the order of their content; ``-`` stands for standard input."""
        loop = asyncio.get_running_loop()
        with DaemonThreads("realtime_fsm inspector") as threads:  # standard input may block, and must not hold up the exit
            for name in sort_by_content(files, self._names):
                try:
                    with open_log(name) as file:
                        blocks = read_blocks(file)
                        while block := await loop.run_in_executor(threads, next, blocks, b""):
                            self._take(split_lines(block))
                except Unreadable as unreadable:
                    self._board.problem = "; ".join(filter(None, (self._board.problem, f"{name}: {unreadable}")))
        self._board.live = False
        if not self._board.views:
            self._board.problem = self._board.problem or "no record of the connections that are asked for is in the log"
        self._board.touch()

    async def follow(self, files: Iterable[str]) -> None:
        """Read files from their beginnings, and go on as they grow, until cancelled."""
        with ExitStack() as stack:
            tails = [stack.enter_context(closing(Tail(name))) for name in dict.fromkeys(files)]
            while True:
                for tail in tails:
                    lines = tail.poll()
                    while some := list(islice(lines, _LINES)):
                        self._take(some)
                        await asyncio.sleep(0)
                await asyncio.sleep(PAUSE)

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            for record in self._records(line):
                self._board.take(record)

    def _records(self, line: bytes) -> Iterator[FlatRecord]:
        try:
            yield decode_fast(line)
        except ValueError:
            for plain, made in self._reader.read(line):
                if isinstance(made, ExtendedRecord):
                    yield made.line
                elif made is not None and made.rule == "schema":  # of another version: its common fields are the same
                    with suppress(ValueError):
                        yield msgspec.json.decode(plain, type=FlatRecord)
