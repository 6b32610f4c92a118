"""Logs to audit: what a workbench's connection would have written, and the ways in which a log can be broken by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.report import Report
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.errors import PresenceRejected
from realtime_fsm.fsm.commands import (
    FailWaiters,
    PresenceRefused,
    PresenceStored,
    StepResult,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.inputs import Input, LinkClosed, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.frames import subscribe_item
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
        self.audit = AuditWriter(name, lambda failure: None)
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
        if isinstance(input_, LinkClosed) and input_.generation == self.bench.context.draining_generation:
            self.audit.retired(input_.generation, self.dwell(after))
        result = self._do(input_, after=after)
        for request in result.commands:
            self.tell(request)
        if result.transition is not None:
            self.audit.transition(result.transition, BEGIN + timedelta(seconds=self.bench.now))
            if result.transition.round_trip is not None:
                self.audit.ping(result.transition.round_trip)
            if result.transition.fault is not None:
                self.audit.fault(result.transition.fault, BEGIN + timedelta(seconds=self.bench.now))
        return result

    def dwell(self, after: float) -> float:
        entered = self.bench.context.state_entered_at
        return 0.0 if entered is None else self.bench.now + after - entered

    def tell(self, request: Any) -> None:
        match request:
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
                for identifier in withdrawn:
                    self.audit.subscription(identifier, "removed")


def lines_of(records: Iterable[Record]) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]


def audited(lines: Iterable[bytes], *, name: str = "log", **options: Any) -> Report:
    auditor = Auditor(**options)
    auditor.begin(name)
    auditor.feed(lines)
    return auditor.finish()
