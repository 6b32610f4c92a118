"""Logs to audit: what a workbench's connection would have written, and the ways in which a log can be broken by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.report import Report
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.errors import PresenceRejected
from realtime_fsm.fsm.commands import (
    CloseLink,
    FailWaiters,
    OpenLink,
    PresenceRefused,
    PresenceStored,
    ReleaseLink,
    ResumeLink,
    StepResult,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
    TransitionTaken,
)
from realtime_fsm.fsm.inputs import Input, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.frames import subscribe_item
from realtime_fsm.runtime.outages import OutageTracker
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


class _Writer(AuditWriter):
    """Writes each record by the clock of its workbench."""

    def __init__(self, bench: Bench, name: str) -> None:
        super().__init__(name, lambda failure: None)
        self._bench = bench

    def _write(self, kind: Any, level: str = "info", at: datetime | None = None, /, **fields: Any) -> None:
        super()._write(kind, level, at or BEGIN + timedelta(seconds=self._bench.now), **fields)


class Scribe:
    """Writes what a driver of a workbench's connection would write, in the same order."""

    def __init__(self, bench: Bench, name: str = "walk") -> None:
        self.bench = bench
        self.audit = _Writer(bench, name)
        self.outages = OutageTracker(self.audit)
        self._do = bench.do
        bench.do = self.do  # type: ignore[method-assign]
        self.opened = False

    def do(self, input_: Input, *, after: float = 0.0) -> StepResult:
        if not self.opened:
            self.opened = True
            self.audit.opened(self.bench.context)
        if isinstance(input_, Subscribe) and self.bench.state is not State.DISPOSING:
            spec = input_.spec
            size = len(subscribe_item(spec.id, spec.channels, spec.queries))
            self.audit.subscription(spec.id, "desired", dwell=self.dwell(after), size=size)
        if isinstance(input_, Unsubscribe) and input_.id in self.bench.context.subscriptions.desired:
            self.audit.subscription(input_.id, "withdrawn", dwell=self.dwell(after))
        if isinstance(input_, SetPresence) and self.bench.state is not State.DISPOSING:
            self.audit.presence("withdrawn" if input_.message is None else "desired", dwell=self.dwell(after))
        draining = self.bench.context.draining_generation
        result = self._do(input_, after=after)
        self.outages.begin_step(result.transition, self.bench.now)
        for request in result.commands:
            self.tell(request, draining)
        if result.transition is not None:
            self.note(result.transition)
        self.outages.end_step()
        return result

    def note(self, transition: TransitionTaken) -> None:
        at = BEGIN + timedelta(seconds=self.bench.now)
        self.audit.transition(transition, at)
        if transition.round_trip is not None:
            self.audit.ping(transition.round_trip)
        if transition.fault is not None:
            self.audit.fault(transition.fault, at)
        if transition.row.dest is not None:
            draining_serves = self.bench.context.draining_generation is not None
            self.outages.on_transition(transition.row.source, transition.dest, draining_serves=draining_serves)

    def close_draining(self, generation: int, *, graceful: bool) -> None:
        if not graceful:
            self.audit.retired(generation, self.dwell(0.0))
        if self.bench.state is not State.DISPOSING:
            self.outages.lose(retired=not graceful)

    def dwell(self, after: float) -> float:
        entered = self.bench.context.state_entered_at
        return 0.0 if entered is None else self.bench.now + after - entered

    def tell(self, request: Any, draining: int | None) -> None:
        match request:
            case OpenLink():
                self.outages.dial()
            case ReleaseLink():
                self.outages.end_fault(self.bench.now)
            case ResumeLink(withdrawn=withdrawn):
                self.outages.end_fault(self.bench.now)
                self.tell_removed(withdrawn)
            case CloseLink(generation=generation, graceful=graceful) if generation == draining:
                self.close_draining(generation, graceful=graceful)
            case SubscriptionAcknowledged(id=identifier):
                self.audit.subscription(identifier, "acknowledged")
            case SubscriptionRefused(id=identifier, code=code):
                self.audit.subscription(identifier, "rejected", code)
            case SubscriptionUnsupported(id=identifier):
                self.audit.subscription(identifier, "rejected")
            case PresenceStored():
                self.audit.presence("stored")
            case PresenceRefused(error=error):
                self.audit.presence("rejected", error.code if isinstance(error, PresenceRejected) else None)
            case SubscriptionRemoved(id=identifier):
                self.audit.subscription(identifier, "removed")
            case FailWaiters(withdrawn=withdrawn):
                self.tell_removed(withdrawn)

    def tell_removed(self, identifiers: Iterable[str]) -> None:
        for identifier in identifiers:
            self.audit.subscription(identifier, "removed")


def lines_of(records: Iterable[Record]) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]


def answered(lines: Iterable[bytes], at: datetime, **options: Any) -> Answer:
    """Ask who was down at an instant."""
    auditor = Auditor(at=at, **options)
    auditor.begin("log")
    auditor.feed(lines)
    auditor.finish()
    assert auditor.answer is not None
    return auditor.answer


def audited(lines: Iterable[bytes], *, name: str = "log", **options: Any) -> Report:
    auditor = Auditor(**options)
    auditor.begin(name)
    auditor.feed(lines)
    return auditor.finish()
