"""Logs to audit: what a workbench's connection would have written, and the ways in which a log can be broken by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from realtime_fsm.auditing.auditor import Auditor
from realtime_fsm.auditing.report import Report
from realtime_fsm.edges.audit import Audit
from realtime_fsm.vocabulary.errors import PresenceRejected
from realtime_fsm.vocabulary.frames import subscribe_item
from realtime_fsm.vocabulary.inputs import Input, Lost, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.vocabulary.requests import Fail, Grant, Lack, Outcome, Present, Reject, RejectPresence, Remove
from realtime_fsm.vocabulary.table import State
from support.bench import Bench

BEGIN = datetime(2026, 11, 24, 5, tzinfo=UTC)
Record = dict[str, Any]


@contextmanager
def collected() -> Iterator[list[Record]]:
    """The records that are written meanwhile."""
    records: list[Record] = []

    def take(_: object, level: str, record: Any) -> Any:
        records.append({**record, "level": level})
        raise structlog.DropEvent

    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[take], cache_logger_on_first_use=False)
    try:
        yield records
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)


class Scribe:
    """Writes what a driver of a workbench's connection would write, in the same order."""

    def __init__(self, bench: Bench, name: str = "walk") -> None:
        self.bench = bench
        self.audit = Audit(name, lambda failure: None)
        self._do = bench.do
        bench.do = self.do  # type: ignore[method-assign]
        self.opened = False

    def do(self, happened: Input, *, after: float = 0.0) -> Outcome:
        if not self.opened:
            self.opened = True
            self.audit.opened(self.bench.seat)
        if isinstance(happened, Subscribe) and self.bench.state is not State.DISPOSING:
            wish = happened.wish
            size = len(subscribe_item(wish.id, wish.channels, wish.queries))
            self.audit.subscription(wish.id, "desired", dwell=self.dwell(after), size=size)
        if isinstance(happened, Unsubscribe) and happened.id in self.bench.seat.book.desired:
            self.audit.subscription(happened.id, "withdrawn", dwell=self.dwell(after))
        if isinstance(happened, SetPresence) and self.bench.state is not State.DISPOSING:
            self.audit.presence("withdrawn" if happened.message is None else "desired", dwell=self.dwell(after))
        if isinstance(happened, Lost) and happened.generation == self.bench.seat.retiring:
            self.audit.retired(happened.generation, self.dwell(after))
        outcome = self._do(happened, after=after)
        for request in outcome.requests:
            self.tell(request)
        if outcome.taken is not None:
            self.audit.transition(outcome.taken, BEGIN + timedelta(seconds=self.bench.now))
            if outcome.taken.round_trip is not None:
                self.audit.ping(outcome.taken.round_trip)
            if outcome.taken.fault is not None:
                self.audit.fault(outcome.taken.fault, BEGIN + timedelta(seconds=self.bench.now))
        return outcome

    def dwell(self, after: float) -> float:
        entered = self.bench.seat.entered_at
        return 0.0 if entered is None else self.bench.now + after - entered

    def tell(self, request: Any) -> None:
        match request:
            case Grant(id=identifier):
                self.audit.subscription(identifier, "acknowledged")
            case Reject(id=identifier, code=code):
                self.audit.subscription(identifier, "rejected", code)
            case Lack(id=identifier):
                self.audit.subscription(identifier, "rejected")
            case Present():
                self.audit.presence("stored")
            case RejectPresence(error=error):
                self.audit.presence("rejected", error.code if isinstance(error, PresenceRejected) else None)
            case Remove(id=identifier):
                self.audit.subscription(identifier, "removed")
            case Fail(withdrawn=withdrawn):
                for identifier in withdrawn:
                    self.audit.subscription(identifier, "removed")


def lines_of(records: Iterable[Record]) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]


def audited(lines: Iterable[bytes], *, name: str = "log", **options: Any) -> Report:
    auditor = Auditor(**options)
    auditor.begin(name)
    auditor.feed(lines)
    return auditor.finish()
