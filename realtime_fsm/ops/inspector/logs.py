"""Read whole or growing logs into a board, in each shape that the audit reads."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing, suppress
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.absence import describe_absence, describe_asked
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.decoding import ExtendedRecord, FlatRecord, decode_fast
from realtime_fsm.audit.framing import LineReader
from realtime_fsm.audit.sources import (
    Unreadable,
    holds_record,
    open_log,
    read_blocks,
    read_lines,
    sort_by_content,
    split_lines,
)
from realtime_fsm.audit.tail import PAUSE, Tail
from realtime_fsm.audit.window import Window
from realtime_fsm.client.threads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from realtime_fsm.audit.report import Finding
    from realtime_fsm.ops.inspector.board import Board

_LINES = 200  # at once, between other work of the loop
_SHOWN = 5  # findings that are named one by one


def explain_empty(files: Iterable[str], only: Collection[str], names: Mapping[str, str]) -> str:
    """Explain as the audit does why no record of files can be shown; return an empty text where one can."""
    order = sort_by_content(files, names)
    if holds_record(order, only, names):
        return ""
    auditor = Auditor(only=only, names=names)
    for name in order:
        auditor.begin(name)
        try:
            with open_log(name) as file:
                auditor.feed(read_lines(file))
        except Unreadable as unreadable:
            auditor.unusable(name, str(unreadable))
    report = auditor.finish()
    found: list[Finding | None] = [*report.findings] or [report.first]
    shown = "; ".join(f"{finding.place}: {finding.text}" for finding in found[:_SHOWN] if finding is not None)
    return f"{shown}{' and more' * (len(found) > _SHOWN)}"


class LogReader:
    """Reads logs into a board; ``names`` are the keys of fields that the logs rename, by the field."""

    def __init__(self, board: Board, names: Mapping[str, str] | None = None) -> None:
        self._board, self._names = board, names
        self._reader = LineReader(names)
        self._count = 0  # of lines

    async def read(self, files: Iterable[str]) -> None:
        """Read files to their ends, in the order of their content; ``-`` stands for standard input."""
        loop = asyncio.get_running_loop()
        with DaemonThreads("realtime_fsm inspector") as threads:  # standard input may block, and must not hold up the exit
            order = sort_by_content(files, self._names)
            for name in order:
                try:
                    with open_log(name) as file:
                        blocks = read_blocks(file)
                        while block := await loop.run_in_executor(threads, next, blocks, b""):
                            self._take(split_lines(block))
                except Unreadable as unreadable:
                    self._board.problem = "; ".join(filter(None, (self._board.problem, f"{name}: {unreadable}")))
        self._board.live = False
        if not self._board.views:
            asked = describe_asked(self._board.only, Window(None, None))
            self._board.problem = self._board.problem or f"{', '.join(order)}: {describe_absence(self._count, asked=asked)}"
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
        self._count += len(lines)
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
