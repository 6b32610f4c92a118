"""The audit sink: the one place that writes records, and the only one that knows structlog.

A record goes into whatever structlog configuration the application has; where it has none, nothing is written. What a record may
hold is said in `realtime_fsm.auditlog.records`.
"""

from __future__ import annotations

import inspect
import platform
import re
from contextvars import Context, copy_context
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from realtime_fsm.auditlog.file import AuditFile
from realtime_fsm.auditlog.records import (
    CanaryRecord,
    CloseRecord,
    DroppedRecord,
    FaultRecord,
    GapRecord,
    MalformedRecord,
    OpenRecord,
    OutageRecord,
    PauseRecord,
    PingRecord,
    PresenceRecord,
    RetiredRecord,
    SubscriptionRecord,
    TransitionRecord,
)
from realtime_fsm.containment import contain
from realtime_fsm.errors import ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Literal

    from realtime_fsm.auditlog.records import Record
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.change import Gap
    from realtime_fsm.fsm.commands import TransitionTaken
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.protocol.faults import FaultNews
    from realtime_fsm.protocol.frames import Code

_NAMES = {row.id: (row.trigger.value, row.source.value, (row.dest or row.source).value) for row in TABLE.rows}
_ASYNC = getattr(structlog.stdlib, "AsyncBoundLogger", ())  # deprecated: a later structlog may lack it
_WORD = re.compile(r"[A-Za-z0-9]{1,16}")


class AuditWriter:
    """The records of one connection.

    The application's processors run in the context in which the connection was built, and see the records in their order: a
    record that a processor causes, by a call of the client, waits until the present one is written.

    Args:
        connection_id: the name of the connection.
        on_failure: takes the first exception of the application's logging.
        context: the context in which the application's processors run; by default a copy of the present one.

    Attributes:
        failures: how many records the application's logging refused with an exception.
    """

    __slots__ = ("_connection_id", "_context", "_link", "_log", "_on_failure", "_seq", "_writing", "failures")

    def __init__(self, connection_id: str, on_failure: Callable[[BaseException], None], context: Context | None = None) -> None:
        self._connection_id = connection_id
        self._log = structlog.get_logger("realtime_fsm")
        self._on_failure = on_failure
        self._context = copy_context() if context is None else context
        self._writing: list[tuple[str, Record]] | None = None  # while one is written: it, and those that it causes
        self._seq = 0
        self._link = 0
        self.failures = 0

    @property
    def is_writing(self) -> bool:
        """Whether a record is being written: a call that comes now comes from a log processor."""
        return self._writing is not None

    def opened(self, context: ConnectionContext) -> None:
        """Write that the connection object is used for the first time, with its settings."""
        self._write(OpenRecord, **(_settings(context) if structlog.is_configured() else {}))

    def transition(self, transition: TransitionTaken, at: datetime) -> None:
        """Write that a row was taken.

        Args:
            transition: the row and its facts.
            at: the moment, aware, in UTC.
        """
        cause, row = transition.cause, transition.row
        trigger, source, dest = _NAMES[row.id]
        self._link = transition.link
        self._write(
            TransitionRecord,
            "error" if row.dest is State.ERROR else "info" if cause is None else "warning",
            at,
            row=row.id,
            trigger=trigger,
            source=source,
            dest=dest,
            dwell=_round_micros(transition.dwell),
            attempt=transition.attempt,
            sends=transition.sends,
            cause=None if cause is None else cause.kind,
            error_code=_safe_code(cause.code) if isinstance(cause, ServerError) else None,
            close_code=cause.close_code if isinstance(cause, StreamEnded) else None,
            status=cause.status if isinstance(cause, UpgradeRefused) else None,
            retry_after=cause.retry_after if isinstance(cause, UpgradeRefused) else None,
            era=transition.era,
            lag=_round_micros(transition.lag),
        )

    def subscription(
        self,
        identifier: str,
        change: Literal["desired", "acknowledged", "rejected", "withdrawn", "removed"],
        code: Code | None = None,
        *,
        dwell: float = 0.0,
        size: int = 0,
    ) -> None:
        """Write what became of a subscription."""
        level = "warning" if change == "rejected" else "info"
        self._write(
            SubscriptionRecord,
            level,
            subscription=identifier,
            change=change,
            error_code=_safe_code(code),
            dwell=_round_micros(dwell),
            size=size,
        )

    def presence(
        self, change: Literal["desired", "stored", "rejected", "withdrawn"], code: Code | None = None, *, dwell: float = 0.0
    ) -> None:
        """Write what became of a presence."""
        level = "warning" if change == "rejected" else "info"
        self._write(PresenceRecord, level, change=change, error_code=_safe_code(code), dwell=_round_micros(dwell))

    def ping(self, round_trip: float) -> None:
        """Write that a ping was answered, after so many seconds."""
        self._write(PingRecord, round_trip=_round_micros(round_trip))

    def fault(self, news: FaultNews, at: datetime) -> None:
        """Write that a server fault begins or ends.

        Args:
            news: which of them, and how long ago the server had last proved that it worked.
            at: the moment, aware, in UTC.
        """
        self._write(
            FaultRecord,
            "warning" if news.opened else "info",
            at,
            change="opened" if news.opened else "closed",
            since=_iso(at - timedelta(seconds=news.seconds)),
            until=None if news.opened else _iso(at),
            seconds=_round_micros(news.seconds),
        )

    def outage(self, change: Literal["opened", "closed"], cause: str, *, planned: bool, seconds: float, dials: int) -> None:
        """Write that an outage begins or ends."""
        level = "warning" if change == "opened" and not planned else "info"
        self._write(OutageRecord, level, change=change, cause=cause, planned=planned, seconds=_round_micros(seconds), dials=dials)

    def dropped(self, identifier: str, count: int) -> None:
        """Write how many events of a subscription had to make room, in an episode that is over."""
        self._write(DroppedRecord, "warning", subscription=identifier, count=count)

    def pause(self, change: Literal["opened", "closed"], paused: int, *, dwell: float, seconds: float = 0.0) -> None:
        """Write that a link is not read for a while, so that a consumer can come after."""
        self._write(PauseRecord, change=change, paused=paused, seconds=_round_micros(seconds), dwell=_round_micros(dwell))

    def canary(
        self, change: Literal["echoed", "missed", "refused", "failed"], code: Code | None = None, *, seconds: float = 0.0
    ) -> None:
        """Write what became of a canary, so many seconds after it was due."""
        level = "info" if change == "echoed" else "warning"
        self._write(CanaryRecord, level, change=change, error_code=_safe_code(code), seconds=_round_micros(seconds))

    def retired(self, retired: int, dwell: float) -> None:
        """Write that a link that made room has ended too early, so many seconds after the state was entered."""
        self._write(RetiredRecord, "warning", retired=retired, dwell=_round_micros(dwell))

    def gap(self, identifier: str, gap: Gap) -> None:
        """Write that a subscription may have missed events."""
        self._write(
            GapRecord,
            "warning",
            subscription=identifier,
            since=None if gap.since is None else gap.since.isoformat(timespec="milliseconds"),
            until=_iso(gap.until),
            seconds=_round_micros(gap.outage_seconds),
            dials=gap.attempts,
        )

    def malformed(self, kind: str) -> None:
        """Write that a message of the server could not be understood: what was wrong, and nothing of the message."""
        self._write(MalformedRecord, "warning", kind=kind)

    def closed(self) -> None:
        """Write that the connection object is disposed of."""
        self._write(CloseRecord)

    def _write(self, kind: type[Record], level: str = "info", at: datetime | None = None, /, **fields: Any) -> None:
        self._seq += 1
        if not structlog.is_configured():
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
            for caused in self._writing:
                self._context.copy().run(self._emit, *caused)
        finally:
            self._writing = None

    def _emit(self, level: str, record: Record) -> None:
        try:
            file = _direct_file()
            if file is not None:
                file.write(_encode(record)[:-1] + _ENDS[level])
            else:
                _log(self._log.bind(), level, msgspec.to_builtins(record))
        except BaseException as failure:  # noqa: BLE001  (any processor of the application's; it must not stop the link)
            self.failures += 1
            if self.failures == 1:
                self._on_failure(failure)
            contain(failure)


def _log(logger: Any, level: str, told: dict[str, Any]) -> None:
    """Write through the application's logger at once, in order.

    Raises:
        TypeError: for a logger whose methods are coroutines, but `AsyncBoundLogger`, which has a synchronous one inside.
        Exception: the application's own.
    """
    if isinstance(logger, _ASYNC):
        logger = logger.sync_bl
    answer = getattr(logger, level)(told.pop("event"), **told)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"structlog's wrapper_class {type(logger).__name__} answers with coroutines; give a synchronous one")


def _settings(context: ConnectionContext) -> dict[str, Any]:
    return {
        "retry": asdict(context.retry),
        "ping": asdict(context.ping),
        "timeouts": asdict(context.timeouts),
        "auto_reconnect": context.auto_reconnect,
        "max_link_age": context.max_link_age,
        "versions": _versions(),
        "protocol": context.configured_era,
        "canary": None if context.canary is None else _canary(context.canary),
    }


def _canary(canary: Canary) -> dict[str, float | bool]:
    return {"every": canary.every, "within": canary.within, "write": canary.write is not None}


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("realtime-fsm", "transitions", "aiohttp", "structlog", "msgspec"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a tree that was never installed
            found[name] = "unknown"
    return found


def _round_micros(seconds: float) -> float:
    """As `round` to microseconds, in less than half of the time."""
    return int(seconds * 1e6 + 0.5) / 1e6


def _iso(at: datetime) -> str:
    if at.microsecond:  # msgspec leaves out zeros, and takes a tenth of the time
        return str(msgspec.to_builtins(at))
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _safe_code(code: Code | None) -> Code | None:
    """A code that is a string may be any text of the server; only a word is written."""
    return code if not isinstance(code, str) or _WORD.fullmatch(code) else "text"


def configure(path: str | Path) -> AuditFile:
    """Configure structlog to append the audit log to a file: JSON lines, times in UTC.

    It is for programs that have no logging of their own; others configure structlog as they like. The file survives a
    rotation: when it was renamed or removed, the next record opens it anew. A disk that fails never stops a link: the first
    failure is told through the event loop's exception handler.

    Args:
        path: the file; it is created when it does not exist.

    Returns:
        The open file, a context manager. Close it when the connections are disposed of.

    Raises:
        OSError: when the file cannot be opened.
    """
    file = AuditFile(path)
    structlog.configure(
        processors=list(_PROCESSORS),
        wrapper_class=structlog.BoundLogger,
        logger_factory=file,
        cache_logger_on_first_use=False,
    )
    return file


_encode = msgspec.json.Encoder().encode
_ENDS = {level: b',"level":"%b"}' % level.encode() for level in ("info", "warning", "error")}
_PROCESSORS = (
    structlog.processors.add_log_level,
    structlog.processors.JSONRenderer(serializer=lambda record, **_: _encode(record)),
)


def _direct_file() -> AuditFile | None:
    """The file, where `configure` alone has said what becomes of records.

    A record then needs none of structlog's machinery, which takes longer than all the rest of it.
    """
    now = structlog.get_config()
    file = now["logger_factory"]
    if type(file) is not AuditFile or now["wrapper_class"] is not structlog.BoundLogger:
        return None
    return file if (*now["processors"],) == _PROCESSORS else None
