"""The audit sink: the one place that writes records, and the only one that knows structlog.

One record, one event name: ``realtime.transition`` for each row that is taken. It goes into whatever structlog configuration
the application has; where it has none, nothing is written. A record names states, rows, numbers and kinds of failure. It never
holds a text of the server, a channel's name, a payload or a secret.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

from realtime_fsm.vocabulary.errors import ServerError, StreamEnded
from realtime_fsm.vocabulary.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.vocabulary.requests import Taken


_WORD = re.compile(r"[A-Za-z0-9]{1,16}")


class Audit:
    """The records of one connection.

    Attributes:
        failures: how many records the application's logging refused with an exception.
    """

    __slots__ = ("_connection_id", "_log", "_on_failure", "_seq", "failures")

    def __init__(self, connection_id: str, on_failure: Callable[[Exception], None]) -> None:
        self._connection_id = connection_id
        self._log = structlog.get_logger("realtime_fsm")
        self._on_failure = on_failure
        self._seq = 0
        self.failures = 0

    def transition(self, taken: Taken, at: datetime) -> None:
        """Write that a row was taken.

        Args:
            taken: the row and its facts.
            at: the moment, aware, in UTC.
        """
        cause = taken.cause
        self._write(
            "error" if taken.row.dest is State.ERROR else "info" if cause is None else "warning",
            "realtime.transition",
            link=taken.link,
            sends=taken.sends,
            row=taken.row.id,
            trigger=taken.row.trigger.value,
            source=taken.row.source.value,
            dest=taken.dest.value,
            dwell=round(taken.dwell, 6),
            attempt=taken.attempt,
            cause=None if cause is None else cause.kind,
            error_code=_shown(cause.code) if isinstance(cause, ServerError) else None,
            close_code=cause.close_code if isinstance(cause, StreamEnded) else None,
            timestamp=_iso(at),
            machine=TABLE.fingerprint,
        )

    def malformed(self, link: int, kind: str) -> None:
        """Write that a message of the server could not be understood; once a kind, and nothing of the message.

        Args:
            link: the generation of the link.
            kind: what was wrong.
        """
        at = datetime.now(UTC)
        self._write("warning", "realtime.malformed", link=link, kind=kind, timestamp=_iso(at))

    def _write(self, level: str, name: str, **fields: Any) -> None:
        self._seq += 1
        if not structlog.is_configured():
            return
        try:
            getattr(self._log, level)(name, connection_id=self._connection_id, seq=self._seq, **fields)
        except Exception as failure:  # noqa: BLE001  (any processor of the application's; it must not stop the link)
            self.failures += 1
            if self.failures == 1:
                self._on_failure(failure)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _shown(code: int | str) -> int | str:
    """A code that is a string may be any text of the server; only a word is written."""
    return code if isinstance(code, int) or _WORD.fullmatch(code) else "text"


def write_to(path: str | Path) -> TextIO:
    """Configure structlog to append the audit log to a file as JSON lines, for programs that have no logging of their own.

    Args:
        path: the file; it is created when it does not exist.

    Returns:
        The open file. Close it when the connection is disposed of.

    Raises:
        OSError: when the file cannot be opened.
    """
    file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115  (it outlives this call)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(serializer=lambda record, **_: msgspec.json.encode(record).decode()),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=False,
    )
    return file
