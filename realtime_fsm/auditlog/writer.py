"""The writer of the audit log, and the only module that knows structlog.

Invariant: the records of a connection are numbered without a hole and written in their order, and no failure of the application's
logging reaches the connection.

Design: a record goes to the structlog of the application, by the public API of structlog. Without a configuration of structlog
its sentence goes to the standard logger `realtime_fsm`. Where no logger and no hook takes a level, the writer makes no record.
With `configure` a record takes about 25 us of CPU from the call to the file, of which structlog takes half: at 10,000 connections
that ping every 30 seconds, 1 % of a core.
"""

from __future__ import annotations

import inspect
import logging
import platform
import re
from contextvars import Context, copy_context
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from msgspec import UNSET

from realtime_fsm import hooks
from realtime_fsm.auditlog import records
from realtime_fsm.auditlog.file import AuditFile
from realtime_fsm.auditlog.layouts import NAMESPACE, wrapper
from realtime_fsm.auditlog.sentences import level_of, sentence
from realtime_fsm.containment import contain
from realtime_fsm.errors import ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from realtime_fsm.auditlog.layouts import Layout
    from realtime_fsm.auditlog.records import Record
    from realtime_fsm.fsm.change import Gap
    from realtime_fsm.fsm.commands import TransitionTaken
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.protocol.faults import FaultNews
    from realtime_fsm.protocol.frames import Code

_NAMES = {row.id: (row.trigger.value, row.source.value, (row.dest or row.source).value) for row in TABLE.rows}
_ASYNC = getattr(structlog.stdlib, "AsyncBoundLogger", ())  # deprecated: a later structlog may lack it
_standard = logging.getLogger("realtime_fsm")
_NUMBERS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_WORD = re.compile(r"[A-Za-z0-9]{1,16}")


class AuditWriter:
    """Writes the records of one connection.

    The processors of the application run in the context in which the connection was built. A record that a processor causes, by a
    call of the client, waits until the present one is written.

    Args:
        connection_id: the name of the connection.
        on_failure: receives the first exception of the application's logging.
        context: the context in which the processors run; by default a copy of the present one.

    Attributes:
        failures: how many records raised an exception in the application's logging.
        on_failure: called with the first of these exceptions; it must not raise.
    """

    __slots__ = ("_connection_id", "_context", "_link", "_log", "_seq", "_writing", "failures", "on_failure")

    failures: int
    on_failure: Callable[[BaseException], object]

    def __init__(self, connection_id: str, on_failure: Callable[[BaseException], None], context: Context | None = None) -> None:
        self._connection_id = connection_id
        self._log = structlog.get_logger("realtime_fsm")
        self.on_failure = on_failure
        self._context = copy_context() if context is None else context
        self._writing: list[tuple[str, Record]] | None = None  # the record that is being written, and those that it causes
        self._seq = 0
        self._link = 0
        self.failures = 0

    @property
    def is_writing(self) -> bool:
        """Whether a record is being written: a call now comes from a log processor."""
        return self._writing is not None

    def opened(self, context: ConnectionContext) -> None:
        """Write the first use of the connection object, with its settings."""
        self._write(records.OpenRecord, **(_settings_of(context) if _is_heard("debug") else {}))

    def transition(self, transition: TransitionTaken, at: datetime) -> None:
        """Write a transition at a moment, aware, in UTC."""
        cause, row = transition.cause, transition.row
        self._link = transition.link
        trigger, source, dest = _NAMES[row.id]
        self._write(
            records.TransitionRecord,
            level_of(row.id, fails=cause is not None),
            at,
            row=row.id,
            trigger=trigger,
            source=source,
            dest=dest,
            dwell=round(transition.dwell, 6),
            attempt=transition.attempt,
            sends=transition.sends,
            cause=None if cause is None else cause.kind,
            error_code=_safe_code(cause.code) if isinstance(cause, ServerError) else None,
            close_code=cause.close_code if isinstance(cause, StreamEnded) else None,
            status=cause.status if isinstance(cause, UpgradeRefused) else None,
            retry_after=cause.retry_after if isinstance(cause, UpgradeRefused) else None,
            era=transition.era,
            lag=round(transition.lag, 6),
            at=transition.at,
            delay=UNSET if transition.delay is None else round(transition.delay, 6),
            **{name: fact for name in records.FACTS if (fact := getattr(transition, name)) is not None},
        )

    def subscription(
        self, identifier: str, change: records.SubscriptionChange, code: Code | None = None, *, dwell: float = 0.0, size: int = 0
    ) -> None:
        """Write a change of a subscription."""
        level = "warning" if change == "rejected" else "debug"
        self._write(
            records.SubscriptionRecord,
            level,
            subscription=identifier,
            change=change,
            error_code=_safe_code(code),
            dwell=round(dwell, 6),
            size=size,
        )

    def presence(self, change: records.PresenceChange, code: Code | None = None, *, dwell: float = 0.0) -> None:
        """Write a change of the presence."""
        level = "warning" if change == "rejected" else "debug"
        self._write(records.PresenceRecord, level, change=change, error_code=_safe_code(code), dwell=round(dwell, 6))

    def ping(self, round_trip: float) -> None:
        """Write the round trip of a ping, in seconds."""
        self._write(records.PingRecord, round_trip=round(round_trip, 6))

    def fault(self, news: FaultNews, at: datetime) -> None:
        """Write the begin or the end of a server fault at a moment, aware, in UTC."""
        self._write(
            records.FaultRecord,
            "warning" if news.opened else "info",
            at,
            change="opened" if news.opened else "closed",
            since=_iso(at - timedelta(seconds=news.seconds)),
            until=None if news.opened else _iso(at),
            seconds=round(news.seconds, 6),
        )

    def outage(self, change: records.IntervalChange, cause: str, *, planned: bool, seconds: float = 0.0, dials: int = 0) -> None:
        """Write the begin or the end of an outage. The step that lost the link is the warning."""
        self._write(
            records.OutageRecord, "info", change=change, cause=cause, planned=planned, seconds=round(seconds, 6), dials=dials
        )

    def dropped(self, identifier: str, count: int) -> None:
        """Write how many events of a subscription were dropped in an episode that is over."""
        self._write(records.DroppedRecord, "warning", subscription=identifier, count=count)

    def pause(self, change: records.IntervalChange, paused: int, *, dwell: float, seconds: float = 0.0) -> None:
        """Write the begin or the end of a pause, in which a consumer catches up and the link is not read."""
        self._write(records.PauseRecord, change=change, paused=paused, seconds=round(seconds, 6), dwell=round(dwell, 6))

    def canary(self, change: records.CanaryChange, code: Code | None = None, *, seconds: float = 0.0) -> None:
        """Write the end of a canary, `seconds` after it was due."""
        level = "debug" if change == "echoed" else "warning"
        self._write(records.CanaryRecord, level, change=change, error_code=_safe_code(code), seconds=round(seconds, 6))

    def retired(self, retired: int, dwell: float) -> None:
        """Write that a draining link has ended too early, `dwell` seconds after the entry into the state."""
        self._write(records.RetiredRecord, "warning", retired=retired, dwell=round(dwell, 6))

    def gap(self, identifier: str, gap: Gap, *, planned: bool = False) -> None:
        """Write that a subscription may have missed events. The gap of a planned outage is no warning."""
        self._write(
            records.GapRecord,
            "info" if planned else "warning",
            subscription=identifier,
            since=None if gap.since is None else gap.since.isoformat(timespec="milliseconds"),
            until=_iso(gap.until),
            seconds=round(gap.outage_seconds, 6),
            dials=gap.attempts,
        )

    def malformed(self, kind: str) -> None:
        """Write the kind of a message of the server that could not be used, and nothing of the message."""
        self._write(records.MalformedRecord, "warning", kind=kind)

    def relayed(self, stored: int, duplicates: int, *, lag: float) -> None:
        """Write how many messages a relay has handed to a broker since its last record."""
        self._write(records.RelayedRecord, stored=stored, duplicates=duplicates, lag=round(lag, 6))

    def closed(self) -> None:
        """Write the end of the connection object."""
        self._write(records.CloseRecord)

    def _write(self, kind: type[Record], level: str = "debug", at: datetime | None = None, /, **fields: Any) -> None:
        self._seq += 1
        if not _is_heard(level):
            return
        record = kind(
            machine=TABLE.fingerprint,
            connection_id=self._connection_id,
            seq=self._seq,
            timestamp=_iso(at or datetime.now(UTC)),
            link=self._link,
            **fields,
        )
        if self._writing is not None:
            self._writing.append((level, record))
            return
        self._writing = [(level, record)]
        try:
            for level, record in self._writing:
                self._context.copy().run(self._emit, level, record)
        finally:
            self._writing = None

    def _emit(self, level: str, record: Record) -> None:
        for write in (*hooks.records, self._emit_to_log):
            try:
                write(level, record)
            except BaseException as failure:  # noqa: BLE001  (of any hook, processor or handler; none may stop the link)
                self.failures += 1
                if self.failures == 1:
                    self.on_failure(failure)
                contain(failure)

    def _emit_to_log(self, level: str, record: Record) -> None:
        if structlog.is_configured():
            _log(self._log.bind(), level, _fields_of(record))
        elif _standard.isEnabledFor(_NUMBERS[level]):
            fields = _fields_of(record)
            text = f"{fields['sentence']} [{self._connection_id[:8]}]"
            _standard.log(_NUMBERS[level], text, extra={NAMESPACE: fields})


def _settings_of(context: ConnectionContext) -> dict[str, Any]:
    """Make the fields of the first record."""
    canary = context.canary
    return {
        "retry": asdict(context.retry),
        "ping": asdict(context.ping),
        "timeouts": asdict(context.timeouts),
        "auto_reconnect": context.auto_reconnect,
        "max_link_age": context.max_link_age,
        "versions": _versions(),
        "protocol": context.configured_era,
        "canary": canary and {"every": canary.every, "within": canary.within, "write": canary.write is not None},
    }


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # an import of some weight, which the first log needs

    found = {"python": platform.python_version()}
    for name in ("realtime-fsm", "transitions", "aiohttp", "structlog", "msgspec"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a tree that was never installed
            found[name] = "unknown"
    return found


def _is_heard(level: str) -> bool:
    """Tell whether a logger or hook takes records of a level; a configured structlog decides in its own processors."""
    return structlog.is_configured() or _standard.isEnabledFor(_NUMBERS[level]) or bool(hooks.records)


def _fields_of(record: Record) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    fields["sentence"] = sentence(record)
    return fields


def _log(logger: Any, level: str, fields: dict[str, Any]) -> None:
    """Write through the application's logger at once.

    Raises:
        TypeError: for a logger with coroutines as methods; `AsyncBoundLogger` has a synchronous logger inside.
        Exception: those of the application.
    """
    if isinstance(logger, _ASYNC):
        logger = logger.sync_bl
    answer = getattr(logger, level)(fields.pop("event"), **fields)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"structlog's wrapper_class {type(logger).__name__} answers with coroutines; give a synchronous one")


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _safe_code(code: Code | None) -> Code | None:
    """Replace a code that may be any text of the server; a word is kept."""
    return code if not isinstance(code, str) or _WORD.fullmatch(code) else "text"


def configure(path: str | Path, *, fields: Layout | None = None) -> AuditFile:
    """Configure structlog to append the audit log to a file: JSON lines, times in UTC.

    Use this in programs without logging of their own; others configure structlog as they like. The file survives a rotation:
    when it was renamed or removed, the next record opens it anew. A disk that fails never stops a link: the event loop's
    exception handler receives the first failure.

    Args:
        path: the file; it is created when it does not exist.
        fields: the layout for a log store that reserves names, as `wrapper` describes; None writes each record plain.

    Returns:
        The open file, a context manager. Close it when the connections are disposed of.

    Raises:
        BadOption: for another layout.
        OSError: when the file cannot be opened.
    """
    wrapping = [] if fields is None else [wrapper(fields)]
    file = AuditFile(path)
    structlog.configure(
        processors=[structlog.processors.add_log_level, *wrapping, structlog.processors.JSONRenderer(serializer=_serialize)],
        wrapper_class=structlog.BoundLogger,
        logger_factory=file,
        cache_logger_on_first_use=False,
    )
    return file


_encode = msgspec.json.Encoder().encode


def _serialize(fields: dict[str, Any], **_: object) -> bytes:
    return _encode(fields)
